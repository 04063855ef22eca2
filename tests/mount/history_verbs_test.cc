// The verbs of the history: log, show, diff, restore, commit, push, git, and init with a history.
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "fs/jobs/history/restore.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class HistoryVerbs : public MountTest {
 protected:
  HistoryVerbs() { SetPolicy("1 /etc/\n3 *.tmp\n"); }
  void Configure(const std::string& more = "") {
    AddToConfig("[version]\nrepo = \"" + Base("tier1.git") + "\"\nsettle = \"10m\"\nat_most = \"20m\"\n" + more);
  }
  void Begin() {
    Configure();
    ASSERT_TRUE(Mount()) << Refusal();
    MakeDirs(Mnt("etc"));
  }
  Ran Tierctl(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {TIERCTL_BINARY, arguments.front(), ConfigFile()});
    arguments.erase(arguments.begin() + 3);
    return Execute(arguments);
  }
  // Commits everything and returns the newest commit.
  std::string Commit() const {
    const Ran ran = Tierctl({"commit", "--json"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.code == 0 ? json::parse(ran.out)["head"].get<std::string>() : "";
  }
};

TEST_F(HistoryVerbs, LogAndShowTellContentAndAttributes) {
  Begin();
  WriteFile(Mnt("etc/a"), "one\n");
  WriteFile(Mnt("etc/b"), "two\n");
  Commit();
  ASSERT_EQ(Shell("chmod 600 " + Mnt("etc/a")).code, 0);
  const std::string second = Commit();
  const json log = json::parse(Tierctl({"log", "--json", "etc/a"}).out)["commits"];
  ASSERT_GE(log.size(), 2U) << log;
  EXPECT_EQ(log[0]["id"], second);
  EXPECT_EQ(log[0]["paths"], json({"etc/a"}));
  EXPECT_EQ(log[0]["program"].get<std::string>().substr(0, 6), "chmod ");
  EXPECT_NE(Tierctl({"log", "--count", "1"}).out.find("etc/a"), std::string::npos);
  EXPECT_EQ(Tierctl({"log", "etc/none"}).code, 3);
  const std::string shown = Tierctl({"show"}).out;
  EXPECT_NE(shown.find("\netc/a: mode 0644 -> 0600\n"), std::string::npos) << shown;
  EXPECT_EQ(shown.find("meta.mtree"), std::string::npos) << shown;
  EXPECT_EQ(json::parse(Tierctl({"show", "--json", second}).out)["changes"][0]["what"], "m");
  EXPECT_NE(Tierctl({"git", "--", "cat-file", "-p", "HEAD:etc/b"}).out.find("two"), std::string::npos);
}

TEST_F(HistoryVerbs, DiffTellsWhatIsNotCommitted) {
  Begin();
  WriteFile(Mnt("etc/a"), "one\n");
  WriteFile(Mnt("etc/b"), "two\n");
  const std::string first = Commit();
  EXPECT_EQ(Tierctl({"diff", "--exit-code"}).code, 0);
  WriteFile(Mnt("etc/a"), "changed\n");
  ASSERT_EQ(::unlink(Mnt("etc/b").c_str()), 0);
  const Ran diff = Tierctl({"diff", "--exit-code"});
  EXPECT_EQ(diff.code, 1);
  EXPECT_NE(diff.out.find("\n-one\n+changed\n"), std::string::npos) << diff.out;
  EXPECT_NE(diff.out.find("\n-two\n"), std::string::npos) << diff.out;
  EXPECT_EQ(Tierctl({"diff", Mnt("etc/a")}).out.find("-two"), std::string::npos);
  EXPECT_EQ(json::parse(Tierctl({"diff", "--json", "etc/b"}).out)["changes"].size(), 1U);
  EXPECT_EQ(Tierctl({"diff", "none"}).code, 2);
  EXPECT_EQ(Tierctl({"diff", "/etc/a"}).code, 2);
  // Nothing of it is in the repository.
  EXPECT_EQ(Tierctl({"git", "--", "rev-parse", "HEAD"}).out, first + "\n");
  const std::string second = Commit();
  EXPECT_EQ(Tierctl({"diff", "--exit-code"}).code, 0);
  EXPECT_EQ(Tierctl({"diff", first, second}).out, diff.out);
}

TEST_F(HistoryVerbs, RestoreBringsEverythingBack) {
  Begin();
  const auto make = [&] {
    WriteFile(Mnt("etc/file"), "content\n");
    ASSERT_EQ(::chown(Mnt("etc/file").c_str(), 1, 33), 0);
    ASSERT_EQ(::chmod(Mnt("etc/file").c_str(), 04640), 0);
    ASSERT_EQ(::setxattr(Mnt("etc/file").c_str(), "user.k", "v", 1, 0), 0);
    MakeDirs(Mnt("etc/empty"));
    MakeDirs(Mnt("etc/dir"));
    WriteFile(Mnt("etc/dir/inner"), "inner\n");
    WriteFile(Mnt("etc/becomes-dir"), "file\n");
    ASSERT_EQ(::symlink("target", Mnt("etc/link").c_str()), 0);
    ASSERT_EQ(::mkfifo(Mnt("etc/pipe").c_str(), 0600), 0);
    WriteFile(Mnt("etc/same"), "same\n");
  };
  make();
  const std::string first = Commit();
  const ino_t same = Stat(Mnt("etc/same")).st_ino;
  for (const char* path : {"etc/file", "etc/becomes-dir", "etc/link", "etc/pipe", "etc/dir/inner"})
    ASSERT_EQ(::unlink(Mnt(path).c_str()), 0);
  for (const char* path : {"etc/empty", "etc/dir"}) ASSERT_EQ(::rmdir(Mnt(path).c_str()), 0);
  WriteFile(Mnt("etc/dir"), "now a file\n");
  MakeDirs(Mnt("etc/becomes-dir/deep"));
  WriteFile(Mnt("etc/becomes-dir/deep/x"), "x\n");
  WriteFile(Mnt("etc/extra"), "extra\n");
  WriteFile(Mnt("etc/other.tmp"), "tier 3\n");
  ASSERT_EQ(::symlink("/etc/passwd", Mnt("etc/file").c_str()), 0);
  Commit();

  const Ran dry = Tierctl({"restore", "-n", first, "etc"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.out.find("would remove etc/extra\n"), std::string::npos) << dry.out;
  EXPECT_TRUE(Exists(Mnt("etc/extra")));
  const Ran missing = Tierctl({"restore", first, "etc", "etc/none"});
  EXPECT_EQ(missing.code, 3);
  EXPECT_TRUE(Exists(Mnt("etc/extra")));

  const Ran restored = Tierctl({"restore", first, Mnt("etc")});
  ASSERT_EQ(restored.code, 0) << restored.err << restored.out;
  EXPECT_EQ(ReadFile(Mnt("etc/file")), "content\n");
  EXPECT_EQ(Stat(Mnt("etc/file")).st_mode, S_IFREG | 04640U);
  EXPECT_EQ(Stat(Mnt("etc/file")).st_gid, 33U);
  EXPECT_EQ(Xattr(Mnt("etc/file"), "user.k"), "v");
  EXPECT_TRUE(S_ISDIR(Stat(Mnt("etc/empty")).st_mode));
  EXPECT_TRUE(S_ISFIFO(Stat(Mnt("etc/pipe")).st_mode));
  EXPECT_TRUE(S_ISLNK(Stat(Mnt("etc/link")).st_mode));
  EXPECT_EQ(ReadFile(Mnt("etc/dir/inner")), "inner\n");
  EXPECT_EQ(ReadFile(Mnt("etc/becomes-dir")), "file\n");
  EXPECT_FALSE(Exists(Mnt("etc/extra")));
  EXPECT_EQ(ReadFile(Mnt("etc/other.tmp")), "tier 3\n");
  EXPECT_EQ(Stat(Mnt("etc/same")).st_ino, same);
  EXPECT_NE(Tierctl({"restore", first, "etc"}).out.find("nothing to do"), std::string::npos);
  const std::string third = Commit();
  EXPECT_EQ(Tierctl({"diff", "--exit-code", first, third}).code, 0);
}

TEST_F(HistoryVerbs, RestoreDoesNotTouchOtherTiersOrLowerLayers) {
  MakeDirs(Base("low/etc"));
  WriteFile(Base("low/etc/low"), "low\n");
  AddToConfig("lower = [\"" + Base("low") + "\"]");
  Begin();
  WriteFile(Mnt("etc/a"), "1\n");
  const std::string first = Commit();
  WriteFile(Mnt("etc/low"), "changed\n");
  ASSERT_EQ(::unlink(Mnt("etc/a").c_str()), 0);
  MakeDirs(Mnt("etc/a"));
  WriteFile(Mnt("etc/a/x.tmp"), "tier 3\n");
  Commit();
  const Ran refused = Tierctl({"restore", first, "etc/a"});
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.err.find("etc/a/x.tmp in it is not of tier 1"), std::string::npos) << refused.err;
  EXPECT_EQ(ReadFile(Mnt("etc/a/x.tmp")), "tier 3\n");
  ASSERT_EQ(::unlink(Mnt("etc/a/x.tmp").c_str()), 0);
  const Ran restored = Tierctl({"restore", first, "etc"});
  EXPECT_EQ(restored.code, 1) << restored.err;
  EXPECT_NE(restored.out.find("note: etc/low was that of a lower layer"), std::string::npos) << restored.out;
  EXPECT_EQ(ReadFile(Mnt("etc/low")), "changed\n");
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "1\n");
}

// The ids of so many commits are too long for the arguments of a program.
TEST_F(HistoryVerbs, LogOfAPathWithManyCommits) {
  Begin();
  WriteFile(Mnt("etc/a"), "0\n");
  Commit();
  Unmount();
  constexpr int kMany = 60'000;
  std::string stream;
  for (int i = 0; i < kMany; ++i) {
    stream += "commit refs/heads/main\ncommitter x <x> " + std::to_string(2'000'000'000 + i) + " +0000\ndata 1\nc" +
              (i == 0 ? "from refs/heads/main^0\n" : "") + "M 100644 inline etc/a\ndata " + std::to_string(std::to_string(i).size()) +
              "\n" + std::to_string(i) + "\n";
  }
  WriteFile(Base("stream"), stream);
  ASSERT_EQ(Shell("git --git-dir=" + Base("tier1.git") + " fast-import --quiet < " + Base("stream")).code, 0);
  const Ran all = Tierctl({"log", "etc/a"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_GE(std::count(all.out.begin(), all.out.end(), '\n'), kMany);
  const json few = json::parse(Tierctl({"log", "--json", "--count", "3", "etc/a"}).out)["commits"];
  ASSERT_EQ(few.size(), 3U);
  EXPECT_EQ(few[0]["time"], 2'000'000'000 + kMany - 1);
}

// What no commit holds could not be brought back: it is neither removed nor replaced.
TEST_F(HistoryVerbs, RestoreLeavesWhatIsNotCommitted) {
  Configure("[gate]\non_finding = \"hold\"\nmax_growth = \"100K\"\n");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc/dir"));
  WriteFile(Mnt("etc/a"), "1\n");
  WriteFile(Mnt("etc/held"), "harmless\n");
  WriteFile(Mnt("etc/dir/x"), "x\n");
  const std::string first = Commit();
  MakeDirs(Mnt("etc/.git/objects"));
  WriteFile(Mnt("etc/.git/objects/o"), "object\n");
  const std::string secret =
      "-----BEGIN OPENSSH PRIVATE KEY-----\n" + Shell("head -c 1500 /dev/urandom | base64").out + "-----END OPENSSH PRIVATE KEY-----\n";
  WriteFile(Mnt("etc/key"), secret);
  WriteFile(Mnt("etc/held"), secret);
  WriteFile(Mnt("etc/a"), "not settled\n");
  WriteFile(Mnt("etc/dir/new"), "not settled either\n");
  const Ran dry = Tierctl({"restore", "-n", first, "etc"});
  EXPECT_EQ(dry.code, 1);
  EXPECT_NE(dry.out.find("would write etc/a\n"), std::string::npos) << dry.out;
  EXPECT_NE(dry.out.find("note: etc/a is not committed as it is now"), std::string::npos) << dry.out;
  WriteFile(Mnt("etc/grows"), std::string(200'000, 'g'));
  const Ran restored = Tierctl({"restore", first, "etc"});
  EXPECT_EQ(restored.code, 1) << restored.err;
  for (const char* note :
       {"note: etc/.git belongs to a git repository: it stays\n", "note: etc/key is not in the newest commit as it is now",
        "note: etc/held is not in the newest commit as it is now", "note: etc/grows is not in the newest commit as it is now"}) {
    EXPECT_NE(restored.out.find(note), std::string::npos) << note << restored.out;
  }
  EXPECT_EQ(ReadFile(Mnt("etc/.git/objects/o")), "object\n");
  EXPECT_EQ(ReadFile(Mnt("etc/key")), secret);
  EXPECT_EQ(ReadFile(Mnt("etc/held")), secret);
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "1\n");
  EXPECT_FALSE(Exists(Mnt("etc/dir/new")));
  // What was not settled is in the commit that the restore made first.
  const std::string second = json::parse(Tierctl({"log", "--json", "etc/dir/new"}).out)["commits"].back()["id"];
  EXPECT_EQ(Tierctl({"git", "--", "cat-file", "-p", second + ":etc/a"}).out, "not settled\n");
}

// Whoever owns a directory may rename in it while root restores into it. No file of root's that he
// puts in the place of a new one gets its mode.
// The directory in which a restore makes a file stays only if it is killed. No commit has it.
TEST_F(HistoryVerbs, ASignalEndsARestoreBetweenTwoFiles) {
  Begin();
  MakeDirs(Mnt("etc/d"));
  for (int i = 0; i < 300; ++i) WriteFile(Mnt("etc/d/f" + std::to_string(i)), "1\n");
  const std::string first = Commit();
  ASSERT_EQ(Shell("rm " + Mnt("etc/d/f*")).code, 0);
  Commit();
  const auto left = [&] {
    const auto names = Names(Mnt("etc/d"));
    return std::count_if(names.begin(), names.end(), [](const std::string& name) { return name.starts_with(".tierfs-restore-"); });
  };
  bool ended_early = false;
  for (int i = 1; i <= 20; ++i) {
    const Ran ran = Shell("timeout -s INT 0." + std::to_string(100 + i * 20) + " " + TIERCTL_BINARY + " restore " + ConfigFile() + " " +
                          first + " etc");
    ended_early = ended_early || ran.code == 124;
    EXPECT_EQ(left(), 0);
  }
  EXPECT_TRUE(ended_early);
  EXPECT_EQ(Tierctl({"restore", first, "etc"}).code, 0);
  EXPECT_EQ(Names(Mnt("etc/d")).size(), 300U);
  MakeDirs(Mnt("etc/d/.tierfs-restore-0123abcd"));
  WriteFile(Mnt("etc/d/.tierfs-restore-0123abcd/f1"), "half of it");
  Commit();
  EXPECT_EQ(Shell("git --git-dir=" + Base("tier1.git") + " ls-tree -r --name-only main | grep -c tierfs-restore").out, "0\n");
  const std::string held = Execute({TIERCTL_BINARY, "gate", "list", ConfigFile()}).out;
  EXPECT_NE(held.find("left from a restore that was killed"), std::string::npos) << held;
}

// Another user must not get root's directory by putting it in the place of his own.
TEST_F(HistoryVerbs, RestoreChangesNothingThatCameAfterThePlan) {
  Begin();
  MakeDirs(Mnt("etc/d/sub"));
  WriteFile(Mnt("etc/d/f"), "committed\n");
  ASSERT_EQ(::chown(Mnt("etc/d/sub").c_str(), 65534, 65534), 0);
  const std::string first = Commit();
  ASSERT_EQ(::chmod(Mnt("etc/d/sub").c_str(), 0711), 0);
  ASSERT_EQ(::unlink(Mnt("etc/d/f").c_str()), 0);
  const std::string second = Commit();
  MakeDirs(Mnt("etc/private"));
  ASSERT_EQ(::chmod(Mnt("etc/private").c_str(), 0700), 0);
  const history::Repository repository(Base("tier1.git"));
  const auto wanted = repository.Read(first);
  const auto newest = repository.Read(second);
  ASSERT_TRUE(wanted && newest);
  const UniqueFd mount(::open(Mnt().c_str(), O_PATH | O_DIRECTORY));
  const UniqueFd tree(::open(Tier(1).c_str(), O_PATH | O_DIRECTORY));
  const history::RestoreInput input{*wanted, *newest, mount.get(), tree.get(), [](const std::string&) { return false; }};
  const auto restore = [&](const std::string& path, const std::function<void()>& meanwhile) {
    const auto plan = history::PlanRestore(input, {path});
    EXPECT_TRUE(plan && plan->steps.size() == 1);
    meanwhile();
    const auto done = history::Restore(repository, *plan, mount.get(), [](const history::RestoreStep&) {});
    return done ? "" : done.error();
  };
  EXPECT_NE(restore("etc/d/f", [&] { WriteFile(Mnt("etc/d/f"), "new\n"); }).find("it changed meanwhile"), std::string::npos);
  EXPECT_EQ(ReadFile(Mnt("etc/d/f")), "new\n");
  const std::string refused = restore("etc/d/sub", [&] {
    ASSERT_EQ(::rename(Mnt("etc/d/sub").c_str(), Mnt("etc/d/away").c_str()), 0);
    ASSERT_EQ(::rename(Mnt("etc/private").c_str(), Mnt("etc/d/sub").c_str()), 0);
  });
  EXPECT_NE(refused.find("it changed meanwhile"), std::string::npos) << refused;
  EXPECT_EQ(Stat(Mnt("etc/d/sub")).st_uid, 0U);
  EXPECT_EQ(Stat(Mnt("etc/d/sub")).st_mode & 07777, 0700U);
}

TEST_F(HistoryVerbs, RestoreChangesNoFileThatIsPutInItsPlace) {
  Begin();
  MakeDirs(Mnt("etc/users"));
  for (int i = 0; i < 200; ++i) {
    WriteFile(Mnt("etc/users/f" + std::to_string(i)), "x\n");
    ASSERT_EQ(::chmod(Mnt("etc/users/f" + std::to_string(i)).c_str(), 04755), 0);
  }
  ASSERT_EQ(::chown(Mnt("etc/users").c_str(), 65534, 65534), 0);
  const std::string first = Commit();
  ASSERT_EQ(Shell("rm " + Mnt("etc/users/f*")).code, 0);
  for (int i = 0; i < 50; ++i) {
    const std::string path = Mnt("etc/users/secret" + std::to_string(i));
    WriteFile(path, "root's\n");
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  }
  Commit();
  std::atomic<bool> over = false;
  std::thread hostile([&] {
    // The ids of this thread only: the system call, not the function, which changes all threads.
    ::syscall(SYS_setfsgid, 65534);
    ::syscall(SYS_setfsuid, 65534);
    int next = 0;
    while (!over) {
      for (const std::string& name : Names(Mnt("etc/users"))) {
        if (!name.starts_with(".tierfs-restore-")) continue;
        const std::string secret = Mnt("etc/users/secret" + std::to_string(next++ % 50));
        for (const std::string& victim : {Mnt("etc/users/" + name), Mnt("etc/users/" + name + "/f" + std::to_string(next % 200))})
          (void)::rename(secret.c_str(), victim.c_str());
      }
    }
  });
  const Ran restored = Tierctl({"restore", first, "etc/users"});
  over = true;
  hostile.join();
  // The hostile renames may end it early; they must not get anything by it.
  EXPECT_TRUE(restored.code == 0 || restored.code == 3) << restored.err;
  for (const std::string& name : Names(Mnt("etc/users"))) {
    const std::string path = Mnt("etc/users/" + name);
    const struct stat st = Stat(path);
    if (S_ISREG(st.st_mode) && ReadFile(path) == "root's\n") {
      EXPECT_EQ(st.st_mode, S_IFREG | 0600U) << name;
    }
  }
}

TEST_F(HistoryVerbs, WithoutHistoryOrMountTheyRefuse) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* verb : {"log", "show", "diff", "commit", "push"}) {
    const Ran ran = Tierctl({verb});
    EXPECT_EQ(ran.code, 2) << verb;
    EXPECT_NE(ran.err.find("add [version]"), std::string::npos) << ran.err;
  }
  Unmount();
  Configure();
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  EXPECT_EQ(Tierctl({"restore", "HEAD", "etc"}).code, 3);
  EXPECT_EQ(Tierctl({"commit"}).code, 3);
}

// What is not committed may be secret.
TEST_F(HistoryVerbs, ADiffLeavesNothingInMemory) {
  Begin();
  WriteFile(Mnt("etc/a"), "one\n");
  Commit();
  WriteFile(Mnt("etc/a"), "two\n");
  const auto scratches = [this] {
    return Shell("grep -ls '" + Base("tier1.git") + "' /dev/shm/tierfs-clone-*/present.git/objects/info/alternates").out;
  };
  // A git that takes its time.
  MakeDirs(Base("bin"));
  WriteFile(Base("bin/git"), "#!/bin/sh\ncase \"$*\" in *' diff '*) sleep 1;; esac\nPATH=${PATH#*:} exec git \"$@\"\n");
  ASSERT_EQ(::chmod(Base("bin/git").c_str(), 0755), 0);
  const std::string diff = "PATH=" + Base("bin") + ":$PATH exec " + TIERCTL_BINARY + " diff " + ConfigFile() + " etc/a";
  const std::string wait = "for i in $(seq 200); do grep -qs '" + Base("tier1.git") +
                           "' /dev/shm/tierfs-clone-*/present.git/objects/info/alternates && break; sleep 0.02; done\n";
  for (const char* signal : {"TERM", "HUP"}) {
    const Ran ran = Shell("(" + diff + ") & pid=$!\n" + wait + "kill -" + signal + " $pid; wait $pid; exit $?");
    EXPECT_EQ(ran.code, signal == std::string("TERM") ? 128 + 15 : 128 + 1) << ran.out << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(scratches(), "");
  }
  (void)Shell("(" + diff + ") & pid=$!\n" + wait + "kill -KILL $pid; wait $pid");
  EXPECT_NE(scratches(), "");
  EXPECT_EQ(Tierctl({"diff", "etc/a"}).code, 0);
  EXPECT_EQ(scratches(), "");
}

TEST_F(HistoryVerbs, AHistoryIsTakenOver) {
  const std::string git = "git -c user.name=x -c user.email=x@x -C " + Base("old") + " ";
  ASSERT_EQ(Shell("git init -q -b trunk " + Base("old") + " && cd " + Base("old") +
                  " && mkdir -p d && echo 1 > 'd/a b' && echo 2 > plain && " + git + "add . && " + git + "commit -qm one && " + git +
                  "rm -q plain && echo 3 > '\"quoted' && " + git + "add . && " + git + "commit -qm 'two\n\ndata 9\n'")
                .code,
            0);
  Configure();
  WriteConfig();
  const Ran plain = Execute({TIERCTL_BINARY, "init", ConfigFile(), "--import-git", Base("old"), "--import-prefix", "etc"});
  ASSERT_EQ(plain.code, 0) << plain.err;
  EXPECT_EQ(Tierctl({"git", "--", "ls-tree", "-r", "--name-only", "-z", "HEAD"}).out, std::string("etc/\"quoted\0etc/d/a b\0", 22));
  EXPECT_EQ(Tierctl({"git", "--", "rev-list", "--count", "main"}).out, "2\n");
  EXPECT_EQ(Tierctl({"git", "--", "fsck", "--strict"}).code, 0);
  EXPECT_EQ(Execute({TIERCTL_BINARY, "init", ConfigFile(), "--import-git", Base("old")}).code, 3);
}

TEST_F(HistoryVerbs, AHistoryWithACredentialIsRefused) {
  const std::string git = "git -c user.name=x -c user.email=x@x -C " + Base("old") + " ";
  ASSERT_EQ(Shell("git init -q " + Base("old") + " && cd " + Base("old") +
                  " && (echo '-----BEGIN OPENSSH PRIVATE KEY-----'; head -c 1500 /dev/urandom | base64; echo '-----END OPENSSH PRIVATE "
                  "KEY-----') > key && " +
                  git + "add . && " + git + "commit -qm one && " + git + "rm -q key && echo 1 > a && " + git + "add . && " + git +
                  "commit -qm two")
                .code,
            0);
  Configure();
  WriteConfig();
  const std::vector<std::string> command = {TIERCTL_BINARY, "init", ConfigFile(), "--import-git", Base("old")};
  const Ran refused = Execute(command);
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.err.find("  key: "), std::string::npos) << refused.err;
  EXPECT_FALSE(Exists(Base("tier1.git")));
  EXPECT_FALSE(Exists(Tier(1)));
  const Ran first = Shell(git + "log --reverse --format=%H | head -c 12");
  EXPECT_EQ(refused.err.find(first.out + "  key: "), 0U) << refused.err;
  auto forced = command;
  forced.emplace_back("--import-findings");
  EXPECT_EQ(Execute(forced).code, 0);
  // Without a prefix the commits keep their ids.
  EXPECT_EQ(Tierctl({"git", "--", "rev-parse", "main"}).out, Shell(git + "rev-parse HEAD").out);
}

// Some rules go by the path, and one content can have a harmless path too.
TEST_F(HistoryVerbs, AHistoryIsLookedAtUnderEachPathAndWithItsMessages) {
  const std::string git = "git -c user.name=x -c user.email=x@x -C " + Base("old") + " ";
  const std::string commit = git + "add . && " + git + "commit -qm ";
  ASSERT_EQ(Shell("git init -q -b trunk " + Base("old")).code, 0);
  MakeDirs(Base("old/exim4"));
  WriteFile(Base("old/a plain name"), "kelp\n");
  ASSERT_EQ(Shell(commit + "one").code, 0);
  WriteFile(Base("old/exim4/client"), "kelp\n");
  ASSERT_EQ(Shell(commit + "two").code, 0);
  ASSERT_EQ(::rename(Base("old/exim4/client").c_str(), Base("old/exim4/new\nline").c_str()), 0);
  ASSERT_EQ(Shell(git + "checkout -q -b side && " + commit + "side && " + git + "checkout -q trunk && " + git +
                  "commit -q --allow-empty -m 'password = kelp7Drift9' && " + git + "merge -q -m merged side")
                .code,
            0);
  Configure();
  WriteFile(Base("own.toml"), "[[rules]]\nid = \"line\"\npath = \"(?s)new.line$\"\n[[rules]]\nid = \"client\"\npath = \"client$\"\n");
  AddToConfig("[gate]\nrules = [\"" + Base("own.toml") + "\"]\n");
  WriteConfig();
  const Ran refused = Execute({TIERCTL_BINARY, "init", ConfigFile(), "--import-git", Base("old")});
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.err.find("  \"exim4/new\\012line\": line\n"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("  exim4/client: client\n"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("  COMMIT_EDITMSG: password-assignment, line "), std::string::npos) << refused.err;
  EXPECT_EQ(refused.err.find("a plain name"), std::string::npos) << refused.err;
}

}  // namespace
}  // namespace tierfs::test
