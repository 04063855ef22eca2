// What can go wrong with the history of tier 1: a line in the status, no error for those who write,
// and everything made up for when the cause is gone.
#include <fcntl.h>
#include <sys/mount.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/history.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using Clock = std::chrono::steady_clock;

class HistoryFails : public HistoryTest {
 protected:
  HistoryFails() { SkipKernelComparison(); }
  bool BeginWith(const std::string& name, const std::string& content) {
    if (!Begin()) return false;
    MakeDirs(Mnt("etc"));
    WriteFile(Mnt("etc/" + name), content);
    ExpectCalm();
    return true;
  }
  void ExpectMadeUpFor() {
    ExpectNoTrouble();
    ExpectCalm();
    ExpectRebuilt();
    ExpectSound();
  }
  // Of a mount that was begun without the fixture.
  void EndTheMount() const {
    EXPECT_EQ(UnmountWhenFree(Mnt()), 0);
    for (int i = 0; i < 300 && DaemonPid() > 0; ++i) ::usleep(20'000);
  }
  // By the daemon's own system calls.
  [[nodiscard]] std::uint64_t BytesRead() const {
    const std::string io = ReadFile("/proc/" + std::to_string(DaemonPid()) + "/io");
    return std::stoull(io.substr(io.find("rchar: ") + 7));
  }
  [[nodiscard]] double CpuSeconds() const {
    const std::string line = ReadFile("/proc/" + std::to_string(DaemonPid()) + "/stat");
    std::istringstream fields(line.substr(line.rfind(')') + 2));
    std::string skipped;
    for (int i = 0; i < 11; ++i) fields >> skipped;
    double sum = 0;
    for (int i = 0; i < 4; ++i) {  // utime, stime, and those of ended children
      double ticks = 0;
      fields >> ticks;
      sum += ticks;
    }
    return sum / static_cast<double>(::sysconf(_SC_CLK_TCK));
  }
};

TEST_F(HistoryFails, OnAFullDisk) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 8);
  UseRepository(disk + "/tier1.git");
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  ASSERT_EQ(
      Shell("for i in 1 2 3; do cat /dev/zero >> " + disk + "/filler; sync -f " + disk + "; done 2>/dev/null; test -s " + disk + "/filler")
          .code,
      0);
  for (int i = 0; i < 50; ++i) {
    std::string lines;
    for (int line = 0; line < 300; ++line) lines += std::to_string(i * 7919 + line * line % 65537) + "\n";
    WriteFile(Mnt("etc/f" + std::to_string(i)), lines);
  }
  ExpectTrouble("space");
  WriteFile(Mnt("etc/a"), "2\n");
  ASSERT_EQ(::unlink((disk + "/filler").c_str()), 0);
  ExpectMadeUpFor();
}

TEST_F(HistoryFails, OnAReadOnlyDisk) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 8);
  UseRepository(disk + "/tier1.git");
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  ASSERT_EQ(Execute({"mount", "-o", "remount,ro", disk}).code, 0);
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectTrouble("Read-only file system");
  ASSERT_EQ(Execute({"mount", "-o", "remount,rw", disk}).code, 0);
  ExpectMadeUpFor();
}

TEST_F(HistoryFails, WithoutItsRepository) {
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  ASSERT_EQ(::rename(Repo().c_str(), Base("away.git").c_str()), 0);
  // Nothing changes, and still it is noticed.
  ExpectTrouble("no repository at " + Repo());
  WriteFile(Mnt("etc/a"), "2\n");
  ASSERT_EQ(::rename(Base("away.git").c_str(), Repo().c_str()), 0);
  ExpectMadeUpFor();
  ASSERT_EQ(Execute({"rm", "-r", Repo()}).code, 0);
  WriteFile(Mnt("etc/a"), "3\n");
  ExpectTrouble("no repository at " + Repo());
  ASSERT_EQ(Execute({"git", "init", "-q", "--bare", "-b", "main", Repo()}).code, 0);
  ExpectMadeUpFor();
  EXPECT_EQ(Commits(), 1);
}

// A mount that never had a repository tries again now and then, not all the time.
TEST_F(HistoryFails, FromTheBeginning) {
  ASSERT_TRUE(Begin()) << Refusal();
  ExpectCalm();
  Unmount();
  ASSERT_EQ(Shell("echo broken > " + Repo() + "/HEAD").code, 0);
  ASSERT_EQ(Execute({TIERFS_BINARY, ConfigFile(), Mnt()}).code, 0);
  ExpectTrouble("not a git repository");
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "1\n");
  const double before = CpuSeconds();
  std::this_thread::sleep_for(std::chrono::seconds(3));
  EXPECT_LT(CpuSeconds() - before, 0.4);
  ASSERT_EQ(Shell("echo 'ref: refs/heads/main' > " + Repo() + "/HEAD").code, 0);
  ExpectMadeUpFor();
  EndTheMount();
}

TEST_F(HistoryFails, WhenSomebodyRewritesIt) {
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectCalm();
  // Back to an older commit: what is in tier 1 is committed on top of it.
  ASSERT_EQ(Git({"update-ref", "refs/heads/main", "main~1"}).code, 0);
  WriteFile(Mnt("etc/b"), "1\n");
  ExpectMadeUpFor();
  // The same while nothing changes.
  ASSERT_EQ(Git({"update-ref", "refs/heads/main", "main~1"}).code, 0);
  for (int i = 0; i < 100 && Git({"show", "main:etc/b"}).code != 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ExpectMadeUpFor();
  // A rebase: a work tree with another history.
  const std::string script =
      "cd " + Base() + " && git clone -q " + Repo() + " work && cd work && git config user.email a@b && git config user.name a && " +
      "git commit -q --amend -m other && echo theirs > etc/theirs && git add . && git commit -q -m more && git push -q -f";
  ASSERT_EQ(Shell(script).code, 0);
  WriteFile(Mnt("etc/a"), "3\n");
  ExpectMadeUpFor();
  EXPECT_NE(Git({"log", "--format=%s", "main"}).out.find("more\n"), std::string::npos) << "theirs is in the history";
  EXPECT_FALSE(Exists(Mnt("etc/theirs"))) << "the tree is the truth";
  // Another branch is checked out.
  ASSERT_EQ(Git({"branch", "side", "main~1"}).code, 0);
  ASSERT_EQ(Git({"symbolic-ref", "HEAD", "refs/heads/side"}).code, 0);
  WriteFile(Mnt("etc/a"), "4\n");
  ExpectMadeUpFor();
  EXPECT_EQ(Git({"show", "main:etc/a"}).out, "4\n");
}

TEST_F(HistoryFails, WithALockThatAKilledGitLeft) {
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  const std::string lock = Repo() + "/refs/heads/main.lock";
  WriteFile(lock, "");
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectTrouble("main.lock");
  ASSERT_EQ(Execute({"touch", "-d", "5 minutes ago", lock}).code, 0);
  ExpectMadeUpFor();
  EXPECT_FALSE(Exists(lock));
}

TEST_F(HistoryFails, WithoutGit) {
  const std::string path = std::getenv("PATH");
  MakeDirs(Base("bin"));
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  Unmount();
  ::setenv("PATH", Base("bin").c_str(), 1);
  const bool mounted = Execute({TIERFS_BINARY, ConfigFile(), Mnt()}).code == 0;
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(mounted);
  ExpectTrouble("git is not installed");
  WriteFile(Mnt("etc/a"), "2\n");
  ASSERT_EQ(::symlink("/usr/bin/git", Base("bin/git").c_str()), 0);
  ExpectMadeUpFor();
  EndTheMount();
}

TEST_F(HistoryFails, WithACorruptObject) {
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  const std::string id = Git({"rev-parse", "main^{tree}"}).out.substr(0, 40);
  const std::string object = Repo() + "/objects/" + id.substr(0, 2) + "/" + id.substr(2);
  const std::string good = ReadFile(object);
  ASSERT_EQ(::chmod(object.c_str(), 0644), 0);
  WriteFile(object, "not an object");
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectTrouble("cannot be read");
  WriteFile(object, good);
  ExpectMadeUpFor();
}

// Retries do not use up what the gate allows in a day.
TEST_F(HistoryFails, WithoutCountingItAsGrowth) {
  gate_["max_growth"] = "\"100K\"";
  ASSERT_TRUE(Begin()) << Refusal();
  // What the first commit finds does not count.
  Unmount();
  MakeDirs(Tier(1, "etc"));
  for (int i = 0; i < 6; ++i) WriteFile(Tier(1, "etc/first" + std::to_string(i)), std::string(30'000, 'a') + std::to_string(i) + "\n");
  ASSERT_TRUE(Mount()) << Refusal();
  ExpectCalm();
  const std::string lock = Repo() + "/refs/heads/main.lock";
  WriteFile(lock, "");
  WriteFile(Mnt("etc/a"), std::string(30'000, 'b') + "\n");
  ExpectTrouble("main.lock");
  for (int i = 0; i < 3; ++i) (void)AskForCommit();
  ASSERT_EQ(::unlink(lock.c_str()), 0);
  EXPECT_TRUE(AskForCommit());
  ExpectMadeUpFor();
  EXPECT_EQ(Told()["held_count"], 0) << Told();
}

TEST_F(HistoryFails, NotByCountingGrowthTwice) {
  gate_["max_growth"] = "\"100K\"";
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  for (const char* name : {"etc/b", "etc/c", "etc/d"}) {
    WriteFile(Mnt(name), std::string(30'000, name[4]) + "\n");
    EXPECT_TRUE(AskForCommit());
  }
  ExpectMadeUpFor();
  EXPECT_EQ(Told()["held_count"], 0) << Told();
}

// What waits for a day is looked at each `at_most`, and not in every pass.
TEST_F(HistoryFails, QuietlyOnWhatItHoldsBack) {
  gate_["max_growth"] = "\"20K\"";
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  constexpr std::uint64_t kSize = 300'000;
  for (int i = 0; i < 10; ++i) WriteFile(Mnt("etc/big" + std::to_string(i)), std::string(kSize, 'b') + "\n");
  for (int i = 0; i < 200 && Told()["held_count"] != 10; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_NE(Told()["held"].dump().find("max_growth"), std::string::npos) << Told();
  const std::uint64_t before = BytesRead();
  std::this_thread::sleep_for(std::chrono::seconds(4));
  EXPECT_LT(BytesRead() - before, 8 * 10 * kSize);
  WriteFile(Mnt("etc/small"), "1\n");
  for (int i = 0; i < 100 && Git({"show", "main:etc/small"}).code != 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(Git({"show", "main:etc/small"}).out, "1\n");
}

TEST_F(HistoryFails, NotWithManyFiles) {
  ASSERT_TRUE(Begin()) << Refusal();
  Unmount();
  for (int i = 0; i < 10'000; ++i) {
    const std::string directory = Tier(1, "etc/d" + std::to_string(i / 100));
    if (i % 100 == 0) MakeDirs(directory);
    WriteFile(directory + "/f" + std::to_string(i), std::to_string(i) + "\n");
  }
  ASSERT_TRUE(Mount()) << Refusal();
  ExpectMadeUpFor();
  EXPECT_EQ(Commits(), 1);
  MakeDirs(Mnt("etc/more"));
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 500; ++i) WriteFile(Mnt("etc/more/f" + std::to_string(i)), std::to_string(i) + "\n");
  ExpectMadeUpFor();
  const std::string names = Git({"ls-tree", "-r", "--name-only", "main", "etc/more"}).out;
  EXPECT_EQ(std::count(names.begin(), names.end(), '\n'), 500);
  EXPECT_LT(Commits(), 10 + (std::chrono::steady_clock::now() - began) / std::chrono::milliseconds(100));
}

TEST_F(HistoryFails, ToReachItsRemote) {
  version_["remote"] = "\"file://" + Base("remote.git") + "\"";
  version_["push_every"] = "\"1s\"";
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  const auto pushed = [&](const char* key) { return Told()[key]; };
  for (int i = 0; i < 100 && pushed("push_trouble") == ""; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_NE(pushed("push_trouble").get<std::string>().find("remote.git"), std::string::npos) << Told();
  EXPECT_EQ(Trouble(), "");
  EXPECT_GE(pushed("not_pushed"), 1);
  ASSERT_EQ(Execute({"git", "init", "-q", "--bare", Base("remote.git")}).code, 0);
  const Ran push = Tierctl({"push", ConfigFile()});
  EXPECT_EQ(push.code, 0) << push.err;
  EXPECT_EQ(pushed("push_trouble"), "");
  EXPECT_EQ(pushed("not_pushed"), 0);
  WriteFile(Mnt("etc/a"), "2\n");
  const auto there = [&] { return Execute({"git", "--git-dir=" + Base("remote.git"), "show", "main:etc/a"}).out; };
  for (int i = 0; i < 200 && there() != "2\n"; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(there(), "2\n");
}

// A push that hangs stops neither commits nor commands nor the end of the mount.
TEST_F(HistoryFails, ToEndAPush) {
  WriteFile(Base("ssh"), "#!/bin/sh\necho $$ >> " + Base("ssh-pid") + "\nexec sleep 300\n");
  ASSERT_EQ(::chmod(Base("ssh").c_str(), 0755), 0);
  version_["remote"] = "\"ssh://nowhere.invalid/x.git\"";
  version_["push_every"] = "\"1s\"";
  version_["on_commit"] = "[\"/bin/sh\", \"-c\", \"echo $TIERFS_COMMIT >> " + Base("told") + "\"]";
  ::setenv("GIT_SSH_COMMAND", Base("ssh").c_str(), 1);
  const bool begun = BeginWith("a", "1\n");
  ::unsetenv("GIT_SSH_COMMAND");
  ASSERT_TRUE(begun) << Refusal();
  for (int i = 0; i < 100 && !Exists(Base("ssh-pid")); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(Exists(Base("ssh-pid")));
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectCalm();
  EXPECT_EQ(Git({"show", "main:etc/a"}).out, "2\n");
  const std::string head = Git({"rev-parse", "main"}).out;
  for (int i = 0; i < 60 && ReadFile(Base("told")).find(head) == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_NE(ReadFile(Base("told")).find(head), std::string::npos) << "the command waits for the push";
  EXPECT_EQ(Told()["not_pushed"], 2) << Told();
  const auto begin = Clock::now();
  Unmount();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  std::istringstream pids(ReadFile(Base("ssh-pid")));
  for (int pid = 0; pids >> pid;) ::kill(pid, SIGKILL);
}

TEST_F(HistoryFails, InItsCommand) {
  version_["on_commit"] = "[\"/bin/sh\", \"-c\", \"echo $TIERFS_COMMIT >> " + Base("told") + "; exec sleep 300\"]";
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  for (int i = 0; i < 100 && !Exists(Base("told")); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  WriteFile(Mnt("etc/a"), "2\n");
  ExpectCalm();
  EXPECT_EQ(Git({"show", "main:etc/a"}).out, "2\n");
  const auto begin = Clock::now();
  Unmount();
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
}

// The gate's rules cannot become part of the policy at first.
TEST_F(HistoryFails, ToMoveWhatTheGateFound) {
  ASSERT_TRUE(BeginWith("a", "1\n")) << Refusal();
  const std::string rules = Base("state") + "/gate.tiers";
  MakeDirs(rules);
  WriteFile(Mnt("etc/key"), "# the agent\nARGUMENT=gh" + std::string("p_") + "Q7bR2kXw9LmZt4VhY8nPcD3sFgJ5aE6uT1oK\n");
  ExpectTrouble("gate.tiers");
  ASSERT_EQ(::rmdir(rules.c_str()), 0);
  ExpectMadeUpFor();
  EXPECT_EQ(TreesWith("etc/key"), std::set<int>{2});
  ExpectNoObjectHolds({"Q7bR2kXw9LmZt4VhY8nPcD3sFgJ5aE6uT1oK"});
}

}  // namespace
}  // namespace tierfs::test
