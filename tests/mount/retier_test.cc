// A changed policy is applied live. Its moves can be interrupted, killed and resumed, and they
// settle in the background.
#include <fcntl.h>
#include <sys/wait.h>

#include <csignal>

#include "fs/control/control.h"
#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

constexpr int kFiles = 250;
constexpr int kBytes = 40000;

class Retier : public OverlayTest {
 protected:
  void SetUp() override {
    UseTier(3, MakeFileSystem(FileSystem::kExt4, 64) + "/tree");
    SetPolicy("1 /etc/\n");
    ASSERT_TRUE(Mount()) << Refusal();
    for (int i = 0; i < kFiles; ++i) {
      if (i % 20 == 0) MakeDirs(Mnt("d/" + std::to_string(i / 20)));
      WriteFile(Mnt(PathOf(i)), Content(i));
    }
    WriteFile(Base("new.tiers"), "1 /etc/\n3 d/\n");
  }
  static std::string PathOf(int i) { return "d/" + std::to_string(i / 20) + "/file" + std::to_string(i); }
  static std::string Content(int i) { return std::string(kBytes, static_cast<char>('a' + i % 26)); }
  // Expects that every file is complete and in exactly one tree.
  void ExpectAllThere() {
    for (int i = 0; i < kFiles; ++i) {
      ASSERT_EQ(ReadFile(Mnt(PathOf(i))), Content(i)) << i;
      ASSERT_EQ(TreesWith(PathOf(i)).size(), 1U) << i;
    }
  }
  [[nodiscard]] int InTier(int tier) const {
    int count = 0;
    for (int i = 0; i < kFiles; ++i) count += TreesWith(PathOf(i)).count(tier) != 0 ? 1 : 0;
    return count;
  }
  // Starts `tierctl retier` in the background and returns once it has moved some files.
  pid_t StartRetier(int moved) {
    const pid_t child = ::fork();
    if (child == 0) {
      const int null = ::open("/dev/null", O_WRONLY);
      ::dup2(null, STDOUT_FILENO);
      ::dup2(null, STDERR_FILENO);
      ::execl(TIERCTL_BINARY, TIERCTL_BINARY, "retier", "--policy", Base("new.tiers").c_str(), ConfigFile().c_str(), nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 5000; ++i) {
      const auto report = AskDaemon(Base("state"), {{"verb", "settle-report"}});
      if (report && report->value("moved", 0) >= moved) break;
      ::usleep(1000);
    }
    return child;
  }
  static int ExitOf(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  Ran Run(const std::vector<std::string>& arguments) {
    std::vector<std::string> command{TIERCTL_BINARY, "retier", "--json", "--policy", Base("new.tiers"), ConfigFile()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return Execute(command);
  }
};

TEST_F(Retier, AnInterruptedRunStopsAndTheSameCommandContinues) {
  const auto all = nlohmann::json::parse(Run({"-n"}).out);
  EXPECT_EQ(all["moved"], kFiles);
  EXPECT_EQ(all["bytes"], kFiles * kBytes);
  const pid_t child = StartRetier(5);
  ::kill(child, SIGINT);
  EXPECT_EQ(ExitOf(child), 1) << "exit code 1: some files are left";
  const int moved = InTier(3);
  EXPECT_GE(moved, 5);
  ASSERT_LT(moved, kFiles) << "it ended before the interrupt";
  ExpectAllThere();
  ExpectNoWorkFiles();
  ::usleep(300'000);
  EXPECT_EQ(InTier(3), moved) << "it has stopped";
  // The next run reports and moves the remaining files.
  const auto left = nlohmann::json::parse(Run({"-n"}).out);
  EXPECT_EQ(left["moved"], kFiles - moved);
  const Ran rest = Run({});
  EXPECT_EQ(rest.code, 0) << rest.out << rest.err;
  EXPECT_EQ(nlohmann::json::parse(rest.out)["moved"], kFiles - moved);
  EXPECT_EQ(InTier(3), kFiles);
  EXPECT_EQ(TreesWith("d"), std::set<int>{3});
  ExpectAllThere();
}

TEST_F(Retier, AKilledDaemonLosesNothingAndTheSameCommandContinues) {
  const pid_t child = StartRetier(5);
  KillDaemon();
  EXPECT_EQ(ExitOf(child), 3);
  ASSERT_TRUE(Mount()) << Refusal();
  ExpectAllThere();
  EXPECT_LT(InTier(3), kFiles);
  EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 0U);
  EXPECT_EQ(Run({}).code, 0);
  EXPECT_EQ(InTier(3), kFiles);
  ExpectAllThere();
  ExpectNoWorkFiles();
  Unmount();
  SetPolicy("1 /etc/\n3 d/\n");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Execute({TIERCTL_BINARY, "check", ConfigFile()}).out, "test: nothing found\n");
}

TEST_F(Retier, ATerminalShowsProgressSpeedAndTimeLeft) {
  constexpr int kMore = 500;  // enough files for a progress line
  for (int i = 0; i < kMore; ++i) WriteFile(Mnt("d/0/more" + std::to_string(i)), "more");
  const Ran ran =
      Shell("script -qec '" + std::string(TIERCTL_BINARY) + " retier --policy " + Base("new.tiers") + " " + ConfigFile() + "' /dev/null");
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_NE(ran.out.find(" of " + std::to_string(kFiles + kMore) + " files, "), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("/s, "), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find(" s left"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("\n" + std::to_string(kFiles + kMore) + " files, "), std::string::npos) << ran.out;
}

TEST_F(Retier, OnlyOneRunsAtATime) {
  const pid_t child = StartRetier(1);
  const Ran second = Run({});
  EXPECT_EQ(second.code, 3) << second.out;
  EXPECT_NE(second.err.find("another settling is under way"), std::string::npos) << second.err;
  EXPECT_EQ(ExitOf(child), 0);
  EXPECT_EQ(InTier(3), kFiles);
}

TEST_F(Retier, BackgroundMovesOfARenameSurviveAKillAndCanBeAwaited) {
  SetPolicy("1 /etc/\n3 cache/\n");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
  ASSERT_EQ(::rename(Mnt("d").c_str(), Mnt("cache").c_str()), 0) << std::strerror(errno);
  EXPECT_GT(Status()["daemon"]["settling"], 0);
  EXPECT_GE(Status()["daemon"]["catalogue"]["open_intents"].size(), 1U);
  KillDaemon();
  ASSERT_TRUE(Mount()) << Refusal();
  const Ran waited = Execute({TIERCTL_BINARY, "settle", "--wait", ConfigFile()});
  EXPECT_EQ(waited.code, 0) << waited.out << waited.err;
  EXPECT_EQ(Status()["daemon"]["settling"], 0);
  EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 0U);
  EXPECT_EQ(TreesWith("cache"), std::set<int>{3});
  for (int i = 0; i < kFiles; ++i) {
    const std::string path = "cache" + PathOf(i).substr(1);
    ASSERT_EQ(TreesWith(path), std::set<int>{3}) << path;
    ASSERT_EQ(ReadFile(Mnt(path)), Content(i)) << path;
  }
}

TEST_F(Retier, AReloadRoutesNewFilesOnly) {
  const UniqueFd open(::open(Mnt("d/0/file0").c_str(), O_RDWR));
  SetPolicy("1 /etc/\n3 d/\n");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
  EXPECT_EQ(TreesWith("d/0/file0"), std::set<int>{2}) << "existing files stay";
  EXPECT_EQ(Xattr(Mnt("d/0/file0"), "user.tierfs.class"), "3");
  WriteFile(Mnt("d/0/new"), "new");
  EXPECT_EQ(TreesWith("d/0/new"), std::set<int>{3});
  ASSERT_EQ(::pwrite(open.get(), "W", 1, 0), 1) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("d/0/file0")).substr(0, 2), "Wa");
  const auto tiers = Status()["tiers"];
  EXPECT_EQ(tiers[1]["misplaced"], kFiles);
  const Ran settled = Execute({TIERCTL_BINARY, "settle", ConfigFile()});
  EXPECT_EQ(settled.code, 1) << "one file is open";
  EXPECT_EQ(InTier(2), 1);
  EXPECT_EQ(Status()["tiers"][1]["misplaced"], 1);
}

}  // namespace
}  // namespace tierfs::test
