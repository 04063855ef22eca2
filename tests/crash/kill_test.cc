// The daemon is killed at random instants, and at each of its named fault points.
#include <sys/mount.h>

#include <csignal>
#include <fstream>
#include <set>
#include <thread>

#include "tests/crash/fixture.h"

namespace tierfs::test {
namespace {

class Kill : public CrashTest {
 protected:
  ~Kill() override { Steer("", ""); }

  // Sets the fault point at which the next daemon dies, and the file for its trace.
  static void Steer(const std::string& fault, const std::string& trace) {
    for (const auto& [name, value] : {std::pair("TIERFS_FAULT", fault), std::pair("TIERFS_FAULT_TRACE", trace)}) {
      value.empty() ? ::unsetenv(name) : ::setenv(name, value.c_str(), 1);
    }
  }
  static void ExpectEndedByTheKill(const Workload& workload) {
    // The errors that a caller may see when the daemon dies:
    // EIO: the kernel had the reply to an open, but the backing file that it names was gone with
    // the connection.
    // ECANCELED, EINTR, EFAULT: the kernel was passing the request over io_uring to a thread, or
    // into memory, of the killed daemon.
    // ECONNREFUSED: the daemon had reported ready, but died before the kernel had its reply to
    // FUSE_INIT.
    const std::set<int> ends{0, ENOTCONN, ECONNABORTED, ECONNREFUSED, EIO, ECANCELED, EINTR, EFAULT};
    EXPECT_EQ(ends.count(workload.Failure()), 1U) << std::strerror(workload.Failure());
  }
  void TakeDeadMountAway() { ASSERT_TRUE(::umount2(Mnt().c_str(), MNT_DETACH) == 0 || errno == EINVAL) << std::strerror(errno); }
};

class RandomInstants : public Kill, public ::testing::WithParamInterface<int> {};

TEST_P(RandomInstants, NothingIsLost) {
  random_.seed(static_cast<unsigned>(GetParam()));
  if (GetParam() > 4) UseSeveralDisks();
  Prepare();
  for (int round = 0; round < 25 && !HasFailure(); ++round) {
    Remember();
    const auto operations = Continue(2000);
    Workload workload(Mnt(), operations, false);
    ::usleep(static_cast<useconds_t>(random_() % 80'000));
    EXPECT_EQ(workload.Failure(), 0) << std::strerror(workload.Failure());
    const int daemon = DaemonPid();
    ASSERT_GT(daemon, 0);
    ::kill(daemon, SIGKILL);
    // Join before the dead mount goes away: the workload must not write to the directory beneath.
    workload.Join();
    TakeDeadMountAway();
    ExpectEndedByTheKill(workload);
    ASSERT_TRUE(Mount()) << Refusal();
    ExpectRecovered(operations, workload.Finished(), workload.Started());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomInstants, ::testing::Values(1, 2, 3, 4, 5, 6));

#ifdef TIERFS_FAULTS

class AtEachNamedPoint : public Kill, public ::testing::WithParamInterface<bool> {};

TEST_P(AtEachNamedPoint, NothingIsLost) {
  if (GetParam()) UseSeveralDisks();
  const auto start = [this] {
    random_.seed(7);  // the same operations in each run
    Prepare();
  };
  start();
  // Traces the fault points and how often a workload passes each one. The first mount has an empty
  // catalogue, so that the points on that path are traced as well.
  Unmount();
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((Base("state/catalog.db") + part).c_str());
  Steer("", Base("trace"));
  ASSERT_TRUE(Mount()) << Refusal();
  Remember();
  constexpr int kOperations = 300;
  auto operations = Continue(kOperations);
  {
    Workload workload(Mnt(), operations, false);
    workload.Join();
    ASSERT_EQ(workload.Failure(), 0) << std::strerror(workload.Failure());
  }
  ExpectRecovered(operations, kOperations, kOperations);
  Unmount();
  Steer("", "");
  std::map<std::string, int> passes;
  std::ifstream trace(Base("trace"));
  for (std::string name; std::getline(trace, name);) ++passes[name];
  ASSERT_GE(passes.size(), 5U);

  for (const auto& [name, count] : passes) {
    std::set<int> instants{1};
    if (count > 10) instants.insert({2, 1 + count / 4});
    for (const int pass : instants) {
      if (HasFailure()) return;
      SCOPED_TRACE(name + ":" + std::to_string(pass));
      start();
      Remember();
      Unmount();
      if (name == "catalogue.made") {
        for (const char* part : {"", "-wal", "-shm"}) ::unlink((Base("state/catalog.db") + part).c_str());
      }
      Steer(name + ":" + std::to_string(pass), "");
      const bool mounted = Mount();
      Steer("", "");
      operations = Continue(kOperations);
      int finished = 0;
      int started = 0;
      if (mounted) {
        Workload workload(Mnt(), operations, false);
        workload.Join();
        // Only the background thread or a request by `tierctl changes` passes some points.
        if (workload.Failure() == 0) (void)Execute({TIERCTL_BINARY, "changes", ConfigFile()});
        for (int i = 0; i < 300 && DaemonPid() > 0; ++i) ::usleep(10'000);
        EXPECT_LE(DaemonPid(), 0) << "the fault point was not reached";
        if (DaemonPid() > 0) KillDaemon();
        ExpectEndedByTheKill(workload);
        finished = workload.Finished();
        started = workload.Started();
      }
      TakeDeadMountAway();
      ASSERT_TRUE(Mount()) << Refusal();
      if (name == "catalogue.made") Remember();  // the new catalogue has no tokens
      ExpectRecovered(operations, finished, started);
    }
  }
}

// A new database replaces one that cannot be used, and takes over its open intents.
TEST_F(Kill, AKillWhileTheDatabaseIsReplacedLosesNoIntent) {
  UseSeveralDisks();
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* point : {"catalogue.made:1", "catalogue.renewed:1", "catalogue.aside:1", "catalogue.aside:2", "catalogue.aside:3"}) {
    SCOPED_TRACE(point);
    const std::string name = std::string("doc-") + point;
    UniqueFd open(::open(Mnt(name + ".tmp").c_str(), O_RDWR | O_CREAT, 0644));
    ASSERT_TRUE(open) << std::strerror(errno);
    ASSERT_EQ(::rename(Mnt(name + ".tmp").c_str(), Mnt(name).c_str()), 0) << std::strerror(errno);
    KillDaemon();
    open.Reset();
    ASSERT_EQ(Shell("sqlite3 " + Base("state/catalog.db") + " 'PRAGMA user_version = 7'").code, 0);
    Steer(point, "");
    EXPECT_FALSE(Mount()) << "the fault point was not reached";
    Steer("", "");
    ASSERT_TRUE(Mount()) << Refusal();
    Settled();
    EXPECT_EQ(TreesWith(name), std::set<int>{2});
    EXPECT_TRUE(Status()["daemon"]["catalogue"]["open_intents"].empty()) << Status();
    EXPECT_FALSE(Exists(Base("state/catalog.db.new")));
  }
}

// The daemon reports that it is ready when it replies to FUSE_INIT. A caller may be waiting for
// that reply when the daemon dies.
TEST_F(Kill, AKillBeforeTheReplyToInitLosesNothing) {
  Prepare();
  Remember();
  Unmount();
  MakeDirs(Base("hold"));
  WriteFile(Base("hold/mount.ready"), "");
  ::setenv("TIERFS_FAULT_HOLD", Base("hold").c_str(), 1);
  const bool mounted = Mount();
  ::unsetenv("TIERFS_FAULT_HOLD");
  ASSERT_TRUE(mounted) << Refusal();
  const auto operations = Continue(10);
  Workload workload(Mnt(), operations, false);
  ::usleep(100'000);
  EXPECT_EQ(workload.Finished(), 0);
  KillDaemon();
  workload.Join();
  EXPECT_NE(workload.Failure(), 0);
  ExpectEndedByTheKill(workload);
  TakeDeadMountAway();
  ASSERT_TRUE(Mount()) << Refusal();
  ExpectRecovered(operations, workload.Finished(), workload.Started());
}

INSTANTIATE_TEST_SUITE_P(Disks, AtEachNamedPoint, ::testing::Bool(), [](const auto& several) { return several.param ? "several" : "one"; });

#endif

}  // namespace
}  // namespace tierfs::test
