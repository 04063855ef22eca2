// The hooks of a snapshot, with real programs.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <set>
#include <thread>

#include "fs/jobs/snapshot/hooks.h"
#include "tests/unit/support.h"

namespace tierfs::test {
namespace {

using snapshot::Hooks;
using When = SnapshotHook::When;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

const std::string kHolds = "echo READY; cat; ";  // until its input ends

class SnapshotHooks : public ::testing::Test {
 protected:
  // Adds a shell script, which runs with the test's directory as $0.
  SnapshotHook& Add(When when, const std::string& script) {
    SnapshotHook hook;
    hook.when = when;
    hook.run = {"/bin/sh", "-c", "cd \"$0\" && {\n" + script + "\n}", dir_.path()};
    hook.timeout = seconds(20);
    hooks_.push_back(hook);
    return hooks_.back();
  }
  [[nodiscard]] std::string Log() const { return Exists(dir_ / "log") ? ReadFile(dir_ / "log") : ""; }
  [[nodiscard]] static bool IsAlive(pid_t process) {
    // A killed orphan is a zombie until init has waited for it.
    const std::string stat = "/proc/" + std::to_string(process) + "/stat";
    if (::kill(process, 0) != 0 || !Exists(stat)) return false;
    const std::string text = ReadFile(stat);
    return text.find(") Z") == std::string::npos && !text.empty();
  }
  // The number in the file, once it is there.
  [[nodiscard]] pid_t NumberIn(const std::string& name) const {
    for (int i = 0; i < 500 && (!Exists(dir_ / name) || ReadFile(dir_ / name).empty()); ++i) std::this_thread::sleep_for(milliseconds(10));
    return std::atoi(ReadFile(dir_ / name).c_str());
  }
  static void ExpectDead(pid_t process) {
    ASSERT_GT(process, 1);
    for (int i = 0; i < 200 && IsAlive(process); ++i) std::this_thread::sleep_for(milliseconds(10));
    EXPECT_FALSE(IsAlive(process));
  }
  void ExpectFailure(const std::string& error) {
    Hooks hooks(hooks_, {});
    const auto prepared = hooks.Prepare();
    ASSERT_FALSE(prepared);
    EXPECT_EQ(prepared.error(), error);
  }

  TempDir dir_;
  std::vector<SnapshotHook> hooks_;
};

TEST_F(SnapshotHooks, RunInOrderWithTheirEnvironment) {
  const std::string say = R"(echo "$TIERFS_HOOK $TIERFS_NAME $TIERFS_SNAPSHOT )";
  Add(When::kPost, say + "1\" >>log");
  Add(When::kHold, say + "2\" >>log; " + kHolds + "echo ended >>log");
  Add(When::kPre, say + "3\" >>log; umask >>log");
  Add(When::kPre, say + "4\" >>log; [ -z \"$(cat)\" ] && echo no input >>log");
  Add(When::kHold, say + "5\" >>log; " + kHolds);
  Add(When::kPost, say + "6\" >>log");
  Hooks hooks(hooks_, {"TIERFS_NAME=m", "TIERFS_SNAPSHOT=s 1"});
  const auto prepared = hooks.Prepare();
  ASSERT_TRUE(prepared) << prepared.error();
  const std::string before = "pre m s 1 3\n0077\npre m s 1 4\nno input\nhold m s 1 2\nhold m s 1 5\n";
  EXPECT_EQ(Log(), before);
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_TRUE(hooks.StillHolding());
  EXPECT_EQ(Log(), before);
  hooks.EndHolds();
  EXPECT_EQ(Log(), before + "ended\n");
  EXPECT_TRUE(hooks.StillHolding()) << "none is left that could fail";
  hooks.Finish();
  EXPECT_EQ(Log(), before + "ended\npost m s 1 1\npost m s 1 6\n");
  EXPECT_TRUE(hooks.warnings().empty());
}

TEST_F(SnapshotHooks, AFailureEndsThePreparationButNotThePostHooks) {
  Add(When::kPre, "printf 'first\\nthe \\033disk is full\\n\\n' >&2; exit 7");
  Add(When::kPre, "echo pre >>log");
  Add(When::kHold, "echo hold >>log; " + kHolds);
  Add(When::kPost, "echo trouble >&2; exit 3");
  Add(When::kPost, "echo post >>log; kill -9 $$");
  Hooks hooks(hooks_, {});
  const auto prepared = hooks.Prepare();
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.error(), "pre hook 1 (/bin/sh) ended with exit code 7: the ?disk is full");
  EXPECT_EQ(Log(), "");
  hooks.EndHolds();
  hooks.Finish();
  EXPECT_EQ(Log(), "post\n");
  EXPECT_EQ(hooks.warnings(), (std::vector<std::string>{"post hook 4 (/bin/sh) ended with exit code 3: trouble",
                                                        "post hook 5 (/bin/sh) ended with exit code 137"}));
}

TEST_F(SnapshotHooks, AFailedHoldEndsTheOthers) {
  Add(When::kHold, kHolds + "echo ended >>log");
  Add(When::kHold, "exit 1");
  ExpectFailure("hold hook 2 (/bin/sh) ended with exit code 1 and printed nothing");
  EXPECT_EQ(Log(), "ended\n");
}

TEST_F(SnapshotHooks, OneThatNeedNotSucceedLeavesAWarning) {
  Add(When::kPre, "echo no >&2; exit 7").must_succeed = false;
  Add(When::kHold, "exit 0").must_succeed = false;
  Add(When::kHold, "echo READY; exit 5").must_succeed = false;
  Add(When::kPre, "echo pre >>log");
  hooks_.push_back(hooks_[0]);
  hooks_.back().run = {"tierfs-no-such-program"};
  Hooks hooks(hooks_, {});
  const auto prepared = hooks.Prepare();
  EXPECT_TRUE(prepared) << prepared.error();
  EXPECT_EQ(Log(), "pre\n");
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(hooks.StillHolding());
  EXPECT_EQ(hooks.warnings(),
            (std::vector<std::string>{"pre hook 1 (/bin/sh) ended with exit code 7: no",
                                      "pre hook 5 (tierfs-no-such-program) could not be started: No such file or directory",
                                      "hold hook 2 (/bin/sh) ended with exit code 0 and printed nothing",
                                      "hold hook 3 (/bin/sh) ended with exit code 5 before the snapshot was taken"}));
}

TEST_F(SnapshotHooks, AHangIsEndedWithAllThatItStarted) {
  // The grandchild ignores SIGTERM; the hook itself does not.
  Add(When::kPre, "(trap '' TERM; while :; do sleep 1; done) & echo $! >child; echo waiting >&2; wait").timeout = milliseconds(300);
  const auto begun = Clock::now();
  ExpectFailure("pre hook 1 (/bin/sh) timed out after 300 ms: waiting");
  EXPECT_LT(Clock::now() - begun, seconds(5));
  ExpectDead(NumberIn("child"));
}

TEST_F(SnapshotHooks, AHangThatIgnoresSignalsIsKilled) {
  Add(When::kPre, "trap '' TERM; echo $$ >child; while :; do sleep 0.1; done").timeout = seconds(1);
  ExpectFailure("pre hook 1 (/bin/sh) timed out after 1 s");
  ExpectDead(NumberIn("child"));
}

TEST_F(SnapshotHooks, WhatAHookLeavesBehindNeitherDelaysItNorEnds) {
  Add(When::kPre, "(while :; do echo still here; sleep 0.01; done) & echo $! >child");
  const auto begun = Clock::now();
  Hooks hooks(hooks_, {});
  EXPECT_TRUE(hooks.Prepare());
  EXPECT_LT(Clock::now() - begun, seconds(5));
  EXPECT_GT(NumberIn("child"), 1);
}

TEST_F(SnapshotHooks, AHoldThatIsNeverReadyTimesOut) {
  Add(When::kHold, "sleep 60 & echo $! >child; echo READ; echo READYING; printf READY; wait").timeout = milliseconds(300);
  ExpectFailure("hold hook 1 (/bin/sh) timed out after 300 ms and did not print a line READY");
  ExpectDead(NumberIn("child"));
  hooks_.clear();
  Add(When::kHold, "echo locked out >&2; cat").timeout = milliseconds(300);
  ExpectFailure("hold hook 1 (/bin/sh) timed out after 300 ms and printed nothing: locked out");
}

TEST_F(SnapshotHooks, AHoldThatEndsBeforeItIsReadyFails) {
  Add(When::kHold, "echo connecting; echo access denied >&2; exit 2");
  ExpectFailure("hold hook 1 (/bin/sh) ended with exit code 2 and did not print a line READY: access denied");
}

TEST_F(SnapshotHooks, AHoldThatDiesBeforeTheInstantFails) {
  Add(When::kHold, "echo $$ >child; echo READY; while [ ! -e go ]; do sleep 0.01; done; echo connection lost >&2; exit 4");
  Hooks hooks(hooks_, {});
  ASSERT_TRUE(hooks.Prepare());
  EXPECT_TRUE(hooks.StillHolding());
  WriteFile(dir_ / "go", "");
  ExpectDead(NumberIn("child"));
  const auto holding = hooks.StillHolding();
  ASSERT_FALSE(holding);
  EXPECT_EQ(holding.error(), "hold hook 1 (/bin/sh) ended with exit code 4 before the snapshot was taken: connection lost");
  hooks.EndHolds();
  EXPECT_TRUE(hooks.warnings().empty());
}

TEST_F(SnapshotHooks, AHoldThatIgnoresTheEndOfItsInputIsKilled) {
  SnapshotHook& deaf = Add(When::kHold,
                           "trap '' TERM; echo $$ >child; (trap '' TERM; sleep 60) & echo $! >grandchild; echo READY; "
                           "while :; do sleep 0.1; done");
  deaf.timeout = milliseconds(500);
  Add(When::kHold, kHolds + "echo no longer >&2; exit 9");
  Hooks hooks(hooks_, {});
  ASSERT_TRUE(hooks.Prepare());
  hooks.EndHolds();
  ExpectDead(NumberIn("child"));
  ExpectDead(NumberIn("grandchild"));
  EXPECT_EQ(hooks.warnings(),
            (std::vector<std::string>{"hold hook 1 (/bin/sh) timed out after 500 ms: it did not end when its standard input was closed",
                                      "hold hook 2 (/bin/sh) ended with exit code 9: no longer"}));
}

TEST_F(SnapshotHooks, AHoldMayPrintMuch) {
  Add(When::kHold, "echo READY; head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2; echo done >log; cat");
  Hooks hooks(hooks_, {});
  ASSERT_TRUE(hooks.Prepare());
  for (int i = 0; i < 1000 && Log() != "done\n"; ++i) std::this_thread::sleep_for(milliseconds(10));
  EXPECT_EQ(Log(), "done\n");
  EXPECT_TRUE(hooks.StillHolding());
  hooks.EndHolds();
  EXPECT_TRUE(hooks.warnings().empty());
}

TEST_F(SnapshotHooks, AHoldOutlivesTheThreadThatStartedIt) {
  Add(When::kHold, kHolds);
  Hooks hooks(hooks_, {});
  std::thread([&] { EXPECT_TRUE(hooks.Prepare()); }).join();
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_TRUE(hooks.StillHolding());
}

TEST_F(SnapshotHooks, AHoldEndsWithTheDaemonAndWithTheObject) {
  Add(When::kHold, "echo $$ >child; " + kHolds + "echo ended >>log");
  { EXPECT_TRUE(Hooks(hooks_, {}).Prepare()); }
  EXPECT_EQ(Log(), "ended\n");
  std::filesystem::remove(dir_ / "child");
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    Hooks hooks(hooks_, {});
    const bool prepared = hooks.Prepare().has_value();
    ::raise(prepared ? SIGKILL : SIGTERM);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  ExpectDead(NumberIn("child"));
  EXPECT_EQ(Log(), "ended\nended\n");
}

TEST_F(SnapshotHooks, NoDescriptorLeaks) {
  std::set<std::string> inherited{"0", "1", "2"};  // and what the test's own parent has left open
  for (int fd = 3; fd < 1024; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags >= 0 && (flags & FD_CLOEXEC) == 0) inherited.insert(std::to_string(fd));
  }
  const UniqueFd own(::open(dir_.path().c_str(), O_RDONLY | O_CLOEXEC));
  const std::string list = "ls /proc/self/fd >>";
  Add(When::kPre, list + "pre");
  Add(When::kHold, list + "hold1; " + kHolds);
  Add(When::kHold, list + "hold2; " + kHolds);
  Add(When::kPost, list + "post");
  Hooks hooks(hooks_, {});
  ASSERT_TRUE(hooks.Prepare());
  hooks.Finish();
  for (const std::string name : {"pre", "hold1", "hold2", "post"}) {
    std::set<std::string> open;
    std::istringstream lines(ReadFile(dir_ / name));
    for (std::string line; std::getline(lines, line);) open.insert(line);
    for (const std::string& each : inherited) EXPECT_EQ(open.erase(each), 1U) << name << " " << each;
    EXPECT_EQ(open.size(), 1U) << name << ": the listed directory itself, and no more";
  }
}

TEST_F(SnapshotHooks, InAContainerRunByDockerExec) {
  WriteFile(dir_ / "docker", "#!/bin/sh\necho \"$@\" >>" + (dir_ / "log") + "\necho READY\n[ \"$2\" = -i ] && cat\ntrue\n");
  ASSERT_EQ(::chmod((dir_ / "docker").c_str(), 0755), 0);
  for (const When when : {When::kPre, When::kHold, When::kPost}) {
    SnapshotHook hook;
    hook.when = when;
    hook.run = {"lock", "-a"};
    hook.container = "db";
    hooks_.push_back(hook);
  }
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (dir_.path() + ":" + path).c_str(), 1);
  Hooks hooks(hooks_, {"TIERFS_NAME=m"});
  const auto prepared = hooks.Prepare();
  EXPECT_TRUE(prepared) << prepared.error();
  EXPECT_TRUE(hooks.StillHolding());
  hooks.Finish();
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_EQ(Log(),
            "exec -e TIERFS_NAME=m -e TIERFS_HOOK=pre db lock -a\nexec -i -e TIERFS_NAME=m -e TIERFS_HOOK=hold db lock -a\n"
            "exec -e TIERFS_NAME=m -e TIERFS_HOOK=post db lock -a\n");
  EXPECT_TRUE(hooks.warnings().empty());
}

}  // namespace
}  // namespace tierfs::test
