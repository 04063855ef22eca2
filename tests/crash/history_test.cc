// The history of tier 1 when the daemon is killed: nothing is missed, nothing is committed twice,
// and nothing secret gets into the repository.
#include <sys/mount.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>

#include "tests/crash/changes.h"
#include "tests/mount/history.h"
#include "tests/mount/image.h"
#include "tests/policy/planted_secrets.h"

namespace tierfs::test {
namespace {

class HistoryAfterAKill : public HistoryTest {
 protected:
  HistoryAfterAKill() { SkipKernelComparison(); }

  static std::vector<std::string> Secrets() {
    std::vector<std::string> bytes;
    for (const auto& planted : testing::PlantedTokens()) bytes.push_back(planted.secret);
    return bytes;
  }
  void ExpectNothingLost() {
    ExpectCalm();
    ExpectRebuilt();
    ExpectNoObjectHolds(Secrets());
    ExpectSound();
  }
  bool MountAgain() {
    ::umount2(Mnt().c_str(), MNT_DETACH);
    return Mount();
  }
};

int Number(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::atoi(text);
}

// More of it: TIERFS_HISTORY_ROUNDS=100 TIERFS_HISTORY_SEED=7
class RandomChanges : public HistoryAfterAKill, public ::testing::WithParamInterface<bool> {};

TEST_P(RandomChanges, AreAllInTheHistory) {
  const int seed = Number("TIERFS_HISTORY_SEED", 1);
  const int rounds = Number("TIERFS_HISTORY_ROUNDS", 5);
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(static_cast<unsigned>(seed));
  if (GetParam()) {
    UseTier(1, MakeFileSystem(FileSystem::kExt4, 64) + "/tree");
    UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
  }
  FillImage(AddLower("image"));
  ASSERT_TRUE(Begin()) << Refusal();
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Changes changes(Mnt(), static_cast<unsigned>(random()), round % 3 == 2 ? 400 : 100'000);
    if (round % 3 == 2) {
      changes.Join();
      Unmount();
    } else {
      ::usleep(static_cast<useconds_t>(100'000 + random() % 1'500'000));
      const int daemon = DaemonPid();
      ASSERT_GT(daemon, 0);
      ::kill(daemon, SIGKILL);
      changes.Join();
    }
    ::umount2(Mnt().c_str(), MNT_DETACH);
    if (round % 2 == 0) ChangeAtRandom(Tier(1), static_cast<unsigned>(random()), 50);
    ASSERT_TRUE(MountAgain()) << Refusal();
    ExpectNothingLost();
  }
  const int commits = Commits();
  Remount();
  ExpectCalm();
  EXPECT_EQ(Commits(), commits) << "nothing twice: " << Git({"show", "main"}).out;
}

INSTANTIATE_TEST_SUITE_P(Disks, RandomChanges, ::testing::Bool(), [](const auto& several) { return several.param ? "several" : "one"; });

// git outlives the daemon that started it, and moves the branch under the next one.
TEST_F(HistoryAfterAKill, AGitThatEndsLateDoesNoHarm) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/first"), "1\n");
  ExpectCalm();
  Unmount();
  MakeDirs(Base("bin"));
  WriteFile(Base("bin/git"), "#!/bin/sh\ntrap '' INT TERM\ncase \"$*\" in *fast-import*)\n  : > " + Base("begun") +
                                 "\n  sleep 1.5;;\nesac\nexec /usr/bin/git \"$@\"\n");
  ASSERT_EQ(::chmod(Base("bin/git").c_str(), 0755), 0);
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", (Base("bin") + ":" + path).c_str(), 1);
  const bool mounted = Mount();
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(mounted) << Refusal();
  WriteFile(Mnt("etc/first"), "2\n");
  WriteFile(Mnt("etc/second"), "2\n");
  for (int i = 0; i < 300 && !Exists(Base("begun")); ++i) ::usleep(20'000);
  ASSERT_TRUE(Exists(Base("begun")));
  KillDaemon();
  ASSERT_TRUE(MountAgain()) << Refusal();
  WriteFile(Mnt("etc/second"), "3\n");
  ::usleep(2'500'000);
  ExpectNothingLost();
}

#ifdef TIERFS_FAULTS

class AtEachPointOfACommit : public HistoryAfterAKill, public ::testing::WithParamInterface<std::string> {
 protected:
  ~AtEachPointOfACommit() override { ::unsetenv("TIERFS_FAULT"); }

  // A change of each kind. Nothing fails the test here: the daemon may end at any moment.
  void Change(const std::string& name, const std::string& secret) {
    const auto put = [](const std::string& path, const std::string& content) {
      std::ofstream file(path);
      file << content;
    };
    put(Mnt("etc/kept"), name + "\n");
    put(Mnt("etc/" + name), "new\n");
    ::mkdir(Mnt("etc/" + name + ".d").c_str(), 0750);
    put(Mnt("etc/" + name + ".d/x"), "x\n");
    put(Mnt("etc/" + name + ".d/password.conf"), secret);
    ::unlink(Mnt("etc/gone-" + name).c_str());
    ::rename(Mnt("etc/old-" + name).c_str(), Mnt("etc/moved-" + name).c_str());
    ::symlink(name.c_str(), Mnt("etc/link-" + name).c_str());
    ::mkfifo(Mnt("etc/fifo-" + name).c_str(), 0600);
    ::chmod(Mnt("etc/still").c_str(), name == "one" ? 0640 : 0600);
  }
};

TEST_P(AtEachPointOfACommit, NothingIsLost) {
  const auto secrets = testing::PlantedTokens();
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc"));
  for (const char* name : {"kept", "still", "gone-one", "gone-two", "old-one", "old-two"}) WriteFile(Mnt(std::string("etc/") + name), name);
  ExpectCalm();
  Unmount();
  ::setenv("TIERFS_FAULT", GetParam().c_str(), 1);
  const bool mounted = Mount();
  ::unsetenv("TIERFS_FAULT");
  if (mounted) {
    Change("one", secrets[0].content);
    ::usleep(600'000);
    Change("two", secrets[1].content);
    for (int i = 0; i < 500 && DaemonPid() > 0; ++i) ::usleep(20'000);
    ASSERT_LE(DaemonPid(), 0) << "the point was not reached";
  }
  ASSERT_TRUE(MountAgain()) << Refusal();
  Change("one", secrets[0].content);
  Change("two", secrets[1].content);
  ExpectNothingLost();
  for (const char* name : {"etc/one.d/password.conf", "etc/two.d/password.conf"}) EXPECT_EQ(TreesWith(name), std::set<int>{2}) << name;
  const int commits = Commits();
  Remount();
  ExpectCalm();
  EXPECT_EQ(Commits(), commits) << "nothing twice: " << Git({"show", "main"}).out;
}

std::vector<std::string> Instants() {
  std::vector<std::string> instants;
  instants.emplace_back("history.loaded:1");
  for (const char* point : {"history.listed", "gate.recorded", "gate.applied", "gate.asked", "history.appending", "history.imported",
                            "history.appended", "history.noted"}) {
    for (const char* pass : {"1", "2"}) instants.push_back(std::string(point) + ":" + pass);
  }
  return instants;
}
INSTANTIATE_TEST_SUITE_P(Points, AtEachPointOfACommit, ::testing::ValuesIn(Instants()));

#endif

}  // namespace
}  // namespace tierfs::test
