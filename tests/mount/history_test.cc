// Tier 1 under version control: what is committed, when, and on whose behalf.
#include <fcntl.h>
#include <sys/mman.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

using nlohmann::json;
using Lines = std::vector<std::string>;

class History : public MountTest {
 protected:
  History() {
    SetPolicy("1 /etc/\n3 *.tmp\n4 /usr/\n");
    Configure("");
  }
  // Lines of [version] besides the repository. The tests wait for a settled file, so it is fast.
  void Configure(const std::string& more, const std::string& gate = "") {
    version_ = "[version]\nrepo = \"" + Repo() + "\"\nsettle = \"" + settle_ + "\"\nat_most = \"" + at_most_ + "\"\n" + more + gate;
  }
  bool Begin() {
    AddToConfig(version_);
    return Mount();
  }

  [[nodiscard]] std::string Repo() const { return Base("tier1.git"); }
  Ran Git(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"git", "--git-dir=" + Repo()});
    return Execute(arguments);
  }
  static Ran Tierctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  [[nodiscard]] int Commits() const {
    const Ran ran = Git({"rev-list", "--count", "main"});
    return ran.code == 0 ? std::stoi(ran.out) : 0;
  }
  // Waits until the newest commit has the path with this content, and nothing else waits.
  [[nodiscard]] bool Await(const std::string& path, const std::string& content) const {
    const auto is_there = [&] { return Git({"cat-file", "-e", "main:" + path}).code == 0 && Show("main:" + path) == content; };
    for (int i = 0; i < 300 && !(is_there() && Status()["waiting"] == 0); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return is_there();
  }
  [[nodiscard]] std::string Show(const std::string& what) const { return Git({"show", what}).out; }
  [[nodiscard]] std::string Message(const std::string& revision = "main") const {
    return Git({"show", "-s", "--format=%an%n%B", revision}).out;
  }
  // The paths of a commit, as "A etc/x".
  [[nodiscard]] Lines Paths(const std::string& revision = "main") const {
    Lines lines;
    std::istringstream text(Git({"show", "--format=", "--name-status", revision}).out);
    for (std::string line; std::getline(text, line);) {
      if (line.find(".tierfs/") != std::string::npos) continue;
      line[1] = ' ';
      lines.push_back(line);
    }
    return lines;
  }
  json Status() const {
    const Ran ran = Tierctl({"status", "--json", ConfigFile()});
    return json::parse(ran.out).at(0).at("daemon").at("history");
  }

  std::string settle_ = "300ms";
  std::string at_most_ = "2s";

 private:
  std::string version_;
};

TEST_F(History, ASettledChangeIsOneCommitWithItsProgram) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "one\n");
  ASSERT_TRUE(Await("etc/a", "one\n")) << Status();
  ASSERT_EQ(Shell("cp " + Mnt("etc/a") + " " + Mnt("etc/b")).code, 0);
  ASSERT_TRUE(Await("etc/b", "one\n")) << Status();
  EXPECT_EQ(Paths(), (Lines{"A etc/b"}));
  EXPECT_EQ(Show("main:etc/b"), "one\n");
  const std::string message = Message();
  EXPECT_NE(message.find("\netc/b: added by cp\n"), std::string::npos) << message;
  EXPECT_NE(message.find("\nProcess: cp ("), std::string::npos) << message;
  EXPECT_NE(message.find("\nActor-Uid: 0\n"), std::string::npos) << message;
  EXPECT_NE(message.find("\nTierfs-Token: "), std::string::npos) << message;
  EXPECT_EQ(Status()["trouble"], "");
}

TEST_F(History, AnEditorsSaveIsOneCommitOfOnePath) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/conf"), "1\n");
  ASSERT_TRUE(Await("etc/conf", "1\n"));
  const int first = Commits();
  WriteFile(Mnt("conf.tmp"), "2\n");  // tier 3
  ASSERT_EQ(::rename(Mnt("conf.tmp").c_str(), Mnt("etc/conf").c_str()), 0);
  ASSERT_TRUE(Await("etc/conf", "2\n"));
  EXPECT_EQ(Commits(), first + 1);
  EXPECT_EQ(Paths(), (Lines{"M etc/conf"}));
  EXPECT_EQ(Show("main:etc/conf"), "2\n");
  // A temporary file in tier 1 that comes and goes leaves no trace.
  WriteFile(Mnt("etc/conf.new"), "3\n");
  ASSERT_EQ(::rename(Mnt("etc/conf.new").c_str(), Mnt("etc/conf").c_str()), 0);
  ASSERT_TRUE(Await("etc/conf", "3\n"));
  EXPECT_EQ(Commits(), first + 2);
  EXPECT_EQ(Paths(), (Lines{"M etc/conf"}));
}

TEST_F(History, OtherTiersAreNotInIt) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "1");
  WriteFile(Mnt("data"), "2");
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/x"), "4");
  ASSERT_TRUE(Await("etc/a", "1"));
  EXPECT_EQ(Git({"ls-tree", "-r", "--name-only", "main", "etc", "data", "usr"}).out, "etc/a\n");
}

TEST_F(History, AFileThatIsOpenWaits) {
  at_most_ = "60s";
  Configure("");
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/first"), "1");
  ASSERT_TRUE(Await("etc/first", "1"));
  const int first = Commits();
  UniqueFd open(::open(Mnt("etc/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644));
  ASSERT_TRUE(open);
  ASSERT_EQ(::write(open.get(), "half", 4), 4);
  std::this_thread::sleep_for(std::chrono::milliseconds(1200));
  EXPECT_EQ(Commits(), first);
  ASSERT_EQ(::write(open.get(), "half", 4), 4);
  open.Reset();
  ASSERT_TRUE(Await("etc/log", "halfhalf"));
  EXPECT_EQ(Show("main:etc/log"), "halfhalf");
}

TEST_F(History, AFileThatIsWrittenAllTheTimeIsCommittedAtMostLate) {
  at_most_ = "1s";
  Configure("");
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  UniqueFd open(::open(Mnt("etc/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644));
  ASSERT_TRUE(open);
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(::write(open.get(), "line\n", 5), 5);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  const int commits = Commits();
  EXPECT_GE(commits, 2);
  EXPECT_LE(commits, 6);
}

TEST_F(History, WhatGitDoesNotHoldIsInTheMetaFile) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc/empty"));
  WriteFile(Mnt("etc/secretive"), "x");
  ASSERT_EQ(::chmod(Mnt("etc/secretive").c_str(), 0640), 0);
  ASSERT_EQ(::chown(Mnt("etc/secretive").c_str(), 12, 34), 0);
  ASSERT_EQ(::setxattr(Mnt("etc/secretive").c_str(), "user.note", "hello", 5, 0), 0);
  ASSERT_EQ(::mkfifo(Mnt("etc/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("secretive", Mnt("etc/link").c_str()), 0);
  ASSERT_TRUE(Await("etc/link", "secretive"));
  const std::string meta = Show("main:.tierfs/meta.mtree");
  EXPECT_NE(meta.find("./etc/empty type=dir"), std::string::npos) << meta;
  EXPECT_NE(meta.find("./etc/secretive type=file uid=12 gid=34 mode=0640 xattr.user.note=aGVsbG8="), std::string::npos) << meta;
  EXPECT_NE(meta.find("./etc/fifo type=fifo"), std::string::npos) << meta;
  EXPECT_EQ(meta.find("./etc/link"), std::string::npos) << meta;
  EXPECT_EQ(Show("main:etc/link"), "secretive");
  EXPECT_FALSE(Exists(Tier(1, ".tierfs")));
}

TEST_F(History, RemovalsRenamesAndTypesFollow) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc/d/e"));
  for (const char* name : {"etc/d/one", "etc/d/e/two", "etc/file", "etc/gone"}) WriteFile(Mnt(name), name);
  ASSERT_TRUE(Await("etc/gone", "etc/gone"));
  ASSERT_EQ(::rename(Mnt("etc/d").c_str(), Mnt("etc/moved").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("etc/gone").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("etc/file").c_str()), 0);
  MakeDirs(Mnt("etc/file"));
  WriteFile(Mnt("etc/file/inside"), "now a directory");
  ASSERT_TRUE(Await("etc/file/inside", "now a directory"));
  EXPECT_EQ(Git({"ls-tree", "-r", "--name-only", "main", "etc"}).out, "etc/file/inside\netc/moved/e/two\netc/moved/one\n");
  ASSERT_EQ(Shell("rm -r " + Mnt("etc/file") + " && echo back > " + Mnt("etc/file")).code, 0);
  ASSERT_TRUE(Await("etc/file", "back\n"));
}

TEST_F(History, EveryByteOfANameIsHeldOrNamed) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  const Lines names = {"new\nline", "\xff\xfe", "-dash", "#hash", "\"quoted\"", "back\\slash", " blank ", std::string(255, 'n'), "a\tb"};
  for (const std::string& name : names) WriteFile(Mnt("etc/" + name), "content");
  ASSERT_TRUE(Await("etc/a\tb", "content"));
  for (const std::string& name : names) EXPECT_EQ(Show("main:etc/" + name), "content");
  EXPECT_EQ(Git({"fsck", "--strict"}).code, 0);
  // Git cannot hold these.
  MakeDirs(Mnt("etc/.git"));
  WriteFile(Mnt("etc/.git/config"), "x");
  WriteFile(Mnt("etc/.GIT~"), "this one it can");
  ASSERT_TRUE(Await("etc/.GIT~", "this one it can"));
  EXPECT_EQ(Git({"ls-tree", "main:etc", ".git"}).out, "");
  const json status = Status();
  EXPECT_GE(status["held_count"], 1) << status;
  EXPECT_NE(status["held"].dump().find("etc/.git"), std::string::npos) << status;
}

TEST_F(History, ChangesWhileUnmountedOrKilledAreCaughtUpWith) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "1");
  WriteFile(Mnt("etc/b"), "1");
  ASSERT_TRUE(Await("etc/b", "1"));
  const int first = Commits();
  WriteFile(Mnt("etc/a"), "2");
  Unmount();  // the last changes are committed on the way out
  EXPECT_EQ(Commits(), first + 1);
  EXPECT_NE(Message().find("by mount_test"), std::string::npos) << Message();
  WriteFile(Tier(1, "etc/a"), "3");
  ASSERT_EQ(::unlink(Tier(1, "etc/b").c_str()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_TRUE(Await("etc/a", "3"));
  EXPECT_EQ(Paths(), (Lines{"M etc/a", "D etc/b"}));
  WriteFile(Mnt("etc/a"), "4");
  KillDaemon();
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_TRUE(Await("etc/a", "4"));
  EXPECT_EQ(Commits(), first + 3);
  Remount();
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  EXPECT_EQ(Commits(), first + 3) << "nothing twice";
}

TEST_F(History, CommitNowDoesNotWait) {
  settle_ = at_most_ = "1h";
  Configure("");
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "1");
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const int before = Commits();
  const Ran ran = Tierctl({"commit", ConfigFile()});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(Commits(), before + 1);
  EXPECT_EQ(Show("main:etc/a"), "1");
}

}  // namespace
}  // namespace tierfs::test
