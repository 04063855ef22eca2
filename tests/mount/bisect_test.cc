// tierctl bisect on a real mount with a history of many commits.
#include <sys/mount.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Bisect : public OverlayTest {
 protected:
  void SetUp() override {
    AddToConfig("version.repo = \"" + Repository() + "\"");
    Git("init -q -b main " + Base("work") + " && git -C " + Base("work") + " config user.name Ann && git -C " + Base("work") +
        " config user.email ann@example.org");
    MakeDirs(Base("work/etc"));
  }
  [[nodiscard]] std::string Repository() const { return Base("tier1.git"); }
  static void Git(const std::string& line) {
    const Ran ran = Shell("export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1; git " + line);
    ASSERT_EQ(ran.code, 0) << line << ": " << ran.err;
  }
  // Makes commits 1 to `count`, twelve hours apart, the last one now: etc/number holds the number
  // of the commit; from `broken` on, etc/conf says "bad". The repository of the mount has them.
  void MakeHistory(int count, int broken) {
    std::string script = "set -e; cd " + Base("work") + "; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1\n";
    for (int i = 1; i <= count; ++i) {
      script += "echo " + std::to_string(i) + " >etc/number; echo " + (i < broken ? "good" : "bad") + " >etc/conf; git add -A; ";
      script += "export GIT_COMMITTER_DATE=@" + std::to_string(::time(nullptr) - 43200 * (count - i)) + "; git commit -qm 'change " +
                std::to_string(i) + "' -m 'Process: sed'; git tag c" + std::to_string(i) + "\n";
    }
    newest_ = "c" + std::to_string(count);
    const Ran ran = Shell(script + "git clone -q --bare . " + Repository());
    ASSERT_EQ(ran.code, 0) << ran.err;
  }
  [[nodiscard]] std::string Commit(const std::string& revision) const {
    std::string id = Shell("git -C " + Repository() + " rev-parse " + revision).out;
    if (!id.empty()) id.pop_back();
    return id;
  }
  // What is in tier 1 is the newest of these commits.
  void MountWithNewest() {
    ASSERT_TRUE(Mount()) << Refusal();
    ASSERT_EQ(Shell("cp -a " + Base("work/etc") + " " + Mnt()).code, 0);
    WriteFile(Mnt("data"), "live");
  }
  [[nodiscard]] Ran Run(const std::string& good, const std::string& bad, const std::string& line,
                        const std::vector<std::string>& options = {}) const {
    std::vector<std::string> command{TIERCTL_BINARY, "bisect", ConfigFile(), "--good", good, "--bad", bad};
    command.insert(command.end(), options.begin(), options.end());
    command.insert(command.end(), {"--", "/bin/sh", "-c", line});
    return Execute(command);
  }
  [[nodiscard]] json Json(const std::string& line, std::vector<std::string> options = {}) const {
    options.emplace_back("--json");
    const Ran ran = Run("c1", newest_, line, options);
    json parsed = json::parse(ran.out, nullptr, false);
    EXPECT_FALSE(parsed.is_discarded()) << ran.out << ran.err;
    parsed["code"] = ran.code;
    return parsed;
  }

  std::string newest_;
};

constexpr const char* kCheck = "grep -q good etc/conf";

TEST_F(Bisect, FindsTheCommit) {
  MakeHistory(40, 23);
  MountWithNewest();
  const json found = Json("test \"$TIERFS_REVISION\" && cat data && " + std::string(kCheck));
  ASSERT_EQ(found["answer"], "found") << found;
  EXPECT_EQ(found["code"], 0);
  EXPECT_EQ(found["commits"], 39);
  const json& culprit = found["culprits"][0];
  EXPECT_EQ(culprit["commit"], Commit("c23"));
  EXPECT_EQ(culprit["author"], "Ann");
  EXPECT_EQ(culprit["program"], "sed");
  EXPECT_EQ(culprit["subject"], "change 23");
  EXPECT_EQ(culprit["paths"], json({"etc/conf", "etc/number"}));
  EXPECT_LE(found["steps"].size(), 2U + 6U);
  EXPECT_EQ(found["steps"][0]["verdict"], "good");
  EXPECT_EQ(found["steps"][0]["output"], "live");
  for (const json& tier : found["tiers"]) {
    EXPECT_EQ(tier["before"], tier["after"]);
    EXPECT_EQ(tier["changed_meanwhile"], 0);
  }
  const Ran text = Run("c1", newest_, kCheck);
  EXPECT_EQ(text.code, 0) << text.err;
  for (const char* part : {"the first bad commit of 39:\n", "  author   Ann\n", "  program  sed\n", "etc/conf", "step 3 of about ",
                           "tier 1 of test: 4 paths, hash ", "\ntiers 1 and 2 are as they were\n"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part << ":\n" << text.out;
  }
  EXPECT_EQ(ReadFile(Mnt("etc/conf")), "bad\n");
}

TEST_F(Bisect, SaysWhatIsWrongWithTheEndPoints) {
  MakeHistory(8, 5);
  MountWithNewest();
  const Ran fails = Run("c6", "c8", "echo the reason; " + std::string(kCheck));
  EXPECT_EQ(fails.code, 1);
  EXPECT_NE(fails.out.find("the good revision fails too"), std::string::npos) << fails.out;
  EXPECT_NE(fails.out.find("exit code 1\n  | the reason\n"), std::string::npos) << fails.out;
  const Ran passes = Run("c1", "c3", kCheck);
  EXPECT_EQ(passes.code, 1);
  EXPECT_NE(passes.out.find("the bad revision passes: the cause is not in tier 1\n"), std::string::npos) << passes.out;
  Git("-C " + Repository() + " branch other c3 && git -C " + Repository() + " update-ref refs/heads/other $(git -C " + Repository() +
      " -c user.name=x -c user.email=x@y commit-tree -m x -p c3 c3^{tree})");
  const std::tuple<const char*, const char*, const char*> wrong[] = {
      {"c5", "c1", "the good revision is newer than the bad one: exchange them"},
      {"c5", "c5", "the good and the bad revision are the same commit, "},
      {"other", "c8", "the bad revision does not come from the good one"},
      {"nonsense", "c5", "the good revision 'nonsense': "},
      {"c1", "--all", "the bad revision '--all': "},
  };
  for (const auto& [good, bad, line] : wrong) {
    const Ran ran =
        Execute({TIERCTL_BINARY, "bisect", ConfigFile(), std::string("--good=") + good, std::string("--bad=") + bad, "--", "true"});
    EXPECT_EQ(ran.code, 2) << line;
    EXPECT_EQ(ran.err.find("tierctl: 'test': " + std::string(line)), 0U) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
  }
  const Ran dry = Run("c1", "c8", "touch " + Base("ran"), {"-n"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.out.find("7 commits; would run the command at most 5 times"), std::string::npos) << dry.out;
  EXPECT_FALSE(Exists(Base("ran")));
}

TEST_F(Bisect, AnEndPointThatCannotTellIsNoAnswer) {
  MakeHistory(6, 4);
  MountWithNewest();
  const std::string number = "n=$(cat etc/number); ";
  const auto error_of = [this](const std::string& line) {
    const Ran ran = Run("c1", newest_, line);
    EXPECT_EQ(ran.code, 3) << ran.out;
    EXPECT_EQ(ran.out.find("tiers 1"), std::string::npos);
    return ran.err;
  };
  EXPECT_EQ(error_of(number + "[ $n != 1 ] || exit 125; " + kCheck),
            "tierctl: 'test': the command cannot tell (exit code 125) at the good revision: choose another\n");
  EXPECT_EQ(error_of(number + "[ $n != 6 ] || exit 125; " + kCheck),
            "tierctl: 'test': the command cannot tell (exit code 125) at the bad revision: choose another\n");
  const std::string absent = error_of("no-such-program");
  EXPECT_EQ(absent.find("tierctl: 'test': the command cannot be run (exit code 127) at the good revision: "), 0U) << absent;
  EXPECT_NE(absent.find("no-such-program: not found\n"), std::string::npos) << absent;
  EXPECT_EQ(error_of("exit 126"), "tierctl: 'test': the command cannot be run (exit code 126) at the good revision\n");
  EXPECT_EQ(Json(number + "[ $n -lt 4 ] || exit 127")["culprits"][0]["commit"], Commit("c4")) << "what broke the program";
}

TEST_F(Bisect, OptionsMeanWhatTheySay) {
  MakeHistory(4, 3);
  MountWithNewest();
  // The command is not part of the list, and what was not measured is not said.
  const Ran none = Run("c1", newest_, kCheck, {"--hash", "0"});
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_EQ(none.out.find("as they were"), std::string::npos) << none.out;
  EXPECT_EQ(none.out.find("tier 1"), std::string::npos) << none.out;
  EXPECT_NE(Run("c1", newest_, kCheck, {"--hash", "2"}).out.find("\ntier 2 is as it was\n"), std::string::npos);
  EXPECT_NE(Run("c1", newest_, kCheck, {"--hash", "1,2,4"}).out.find("\ntiers 1, 2 and 4 are as they were\n"), std::string::npos);
  const Ran slow = Run("c1", newest_, "sleep 0.5; " + std::string(kCheck), {"--timeout", "0.0001"});
  EXPECT_NE(slow.out.find("no end within the time limit"), std::string::npos) << slow.out << slow.err;
  const Ran inside = Run("c1", newest_, "touch " + Base("ran"), {"--disk", Tier(2)});
  EXPECT_EQ(inside.code, 2);
  EXPECT_EQ(inside.err, "tierctl: 'test': " + Tier(2) + " is in tier 2 at " + Tier(2) + ": choose a directory outside\n");
  EXPECT_FALSE(Exists(Base("ran")));
  // A run without space means nothing, even if it also took too long.
  const Ran full = Run("c1", newest_, "ulimit -c 0; while :; do head -c 64M /dev/zero >>file; done 2>/dev/null",
                       {"--timeout", "1", "--disk", MakeFileSystem(FileSystem::kTmpfs, 8)});
  EXPECT_EQ(full.code, 3) << full.out;
  EXPECT_NE(full.err.find("the space for what the command writes is used up"), std::string::npos) << full.err;
}

// Also what the command itself does, by a path to the tree that the clone does not know of.
TEST_F(Bisect, SaysWhatHasChanged) {
  MakeHistory(4, 3);
  MountWithNewest();
  MakeDirs(Base("second"));
  ASSERT_EQ(::mount(Tier(1).c_str(), Base("second").c_str(), nullptr, MS_BIND, nullptr), 0);
  const Ran ran = Run("c1", newest_, "echo x >" + Base("second") + "/new; " + kCheck);
  ASSERT_EQ(::umount(Base("second").c_str()), 0);
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_NE(ran.out.find("tier 1 of test: 1 of 5 paths changed meanwhile; hash "), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("\ntier 2 is as it was\n"), std::string::npos) << ran.out;
}

TEST_F(Bisect, ATimeOnTheBranchIsARevision) {
  MakeHistory(6, 4);
  MountWithNewest();
  MakeDirs(Repository() + "/logs/refs/heads");
  WriteFile(Repository() + "/logs/refs/heads/main",
            Commit("c5") + " " + Commit("c6") + " a <a@b> " + std::to_string(::time(nullptr)) + " +0000\tcommit\n");
  const Ran dry = Run("@{50 hours ago}", "@{30 hours ago}", kCheck, {"-n"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.out.find("good " + Commit("c1").substr(0, 12) + ", bad " + Commit("c3").substr(0, 12)), std::string::npos) << dry.out;
}

TEST_F(Bisect, ExitCodesAreThoseOfGitBisectRun) {
  MakeHistory(12, 7);
  MountWithNewest();
  const std::string number = "n=$(cat etc/number); ";
  // Skipped commits around, but not next to, the first bad one.
  json found = Json(number + "case $n in 4|5|9|10) exit 125;; esac; [ $n -lt 7 ] || exit 127");
  EXPECT_EQ(found["answer"], "found");
  EXPECT_EQ(found["culprits"][0]["commit"], Commit("c7"));
  found = Json(number + "case $n in 6|7) exit 125;; esac; " + kCheck);
  EXPECT_EQ(found["answer"], "undecided");
  EXPECT_EQ(found["code"], 1);
  EXPECT_EQ(found["culprits"].size(), 3U) << "6, 7 and 8";
  const Ran aborted = Run("c1", newest_, number + "[ $n != 6 ] || kill -SEGV $$; " + kCheck);
  EXPECT_EQ(aborted.code, 3);
  EXPECT_NE(aborted.err.find("the command ended with signal 11 (Segmentation fault), which means neither good nor bad"), std::string::npos)
      << aborted.err;
  EXPECT_EQ(Run("c1", newest_, number + "[ $n != 6 ] || exit 200; " + kCheck).code, 3);
  // One that hangs is bad.
  const Ran slow = Run("c1", newest_, number + "[ $n -lt 7 ] || sleep 100", {"--timeout", "0.5"});
  EXPECT_EQ(slow.code, 0) << slow.err;
  EXPECT_NE(slow.out.find("  bad  no end within the time limit"), std::string::npos) << slow.out;
  EXPECT_NE(slow.out.find(Commit("c7")), std::string::npos) << slow.out;
}

TEST_F(Bisect, TierThreeCanBeEmptyAndTheOutputShown) {
  MakeHistory(4, 3);
  MountWithNewest();
  MakeDirs(Mnt("var/cache"));
  WriteFile(Mnt("var/cache/c"), "x");
  const std::string line = "[ ! -e var/cache/c ] || exit 3; echo hello; " + std::string(kCheck);
  EXPECT_EQ(Json(line)["answer"], "good-fails");
  EXPECT_EQ(Json(line, {"--empty-state"})["answer"], "found");
  const Ran shown = Run("c1", newest_, line, {"--empty-state", "-v"});
  EXPECT_NE(shown.err.find("hello\n"), std::string::npos);
  EXPECT_EQ(shown.out.find("hello\n"), std::string::npos);
}

TEST_F(Bisect, WorksWhileProgramsWriteAndNewCommitsAppear) {
  MakeHistory(30, 11);
  MountWithNewest();
  const pid_t writer = ::fork();
  if (writer == 0) {
    for (int i = 0;; ++i) {
      // Many files: one that was truncated and not yet written looks the same each time.
      WriteFile(Mnt("etc/number" + std::to_string(i % 50)), std::to_string(i));
      WriteFile(Mnt("data" + std::to_string(i % 50)), std::to_string(i));
      ::usleep(2000);
    }
  }
  const json found = Json(kCheck);
  ::kill(writer, SIGKILL);
  ::waitpid(writer, nullptr, 0);
  EXPECT_EQ(found["answer"], "found") << found;
  EXPECT_EQ(found["culprits"][0]["commit"], Commit("c11"));
  EXPECT_GT(found["tiers"][0]["changed_meanwhile"], 0);
  EXPECT_GT(found["tiers"][1]["changed_meanwhile"], 0);
  EXPECT_EQ(ReadFile(Mnt("etc/conf")), "bad\n");
}

TEST_F(Bisect, NeedsNoDaemon) {
  MakeHistory(6, 3);
  AddToConfig("mountpoint = \"" + Mnt() + "\"");
  MountWithNewest();
  const int daemon = DaemonPid();
  ASSERT_EQ(::kill(daemon, SIGSTOP), 0);
  const json stopped = Json(kCheck);
  ASSERT_EQ(::kill(daemon, SIGCONT), 0);
  EXPECT_EQ(stopped["answer"], "found") << stopped;
  KillDaemon();
  EXPECT_EQ(Json(kCheck)["answer"], "found") << "not mounted";
  EXPECT_EQ(Names(Mnt()), std::set<std::string>());
  ASSERT_TRUE(Mount()) << Refusal();
}

TEST_F(Bisect, AnInterruptedOneLeavesNothing) {
  MakeHistory(6, 3);
  MountWithNewest();
  const std::string sleep = "97" + std::to_string(::getpid());
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    const pid_t tierctl = ::fork();
    if (tierctl == 0) {
      const Ran ran = Run("c1", newest_, "touch " + Base("ready") + "; setsid sleep " + sleep + " & sleep " + sleep);
      ::_exit(ran.code);
    }
    for (int i = 0; i < 500 && !Exists(Base("ready")); ++i) ::usleep(20'000);
    ASSERT_EQ(Shell("pkill -" + std::to_string(signal) + " -f '^" + std::string(TIERCTL_BINARY) + " bisect " + ConfigFile() + "'").code, 0);
    int status = 0;
    ::waitpid(tierctl, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), signal == SIGKILL ? 128 + SIGKILL : 3);
    for (int i = 0; i < 500 && Shell("pgrep -f '^sleep " + sleep + "'").code == 0; ++i) ::usleep(20'000);
    EXPECT_EQ(Shell("pgrep -f '^sleep " + sleep + "'").out, "");
    EXPECT_EQ(Shell("grep -c '" + Base() + "' /proc/self/mounts").out, "1\n");
    ::unlink(Base("ready").c_str());
  }
  EXPECT_EQ(Names(Base()),
            (std::set<std::string>{"mnt", "state", "test.tiers", "test.toml", "tier1", "tier1.git", "tier2", "tier3", "tier4", "work"}));
}

TEST_F(Bisect, SaysThatThereIsNoRepository) {
  ASSERT_TRUE(Mount()) << Refusal();
  const Ran none = Run("a", "b", "true");
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(std::count(none.err.begin(), none.err.end(), '\n'), 1) << none.err;
}

}  // namespace
}  // namespace tierfs::test
