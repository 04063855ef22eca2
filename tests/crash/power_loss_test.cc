// The machine loses power, so only the data on the disk at that instant is left. The disk is an
// image on a loop device. The test stops all processes and copies the image: the copy holds all
// synced data, and whatever else ext4 happened to have written.
#include <sys/mount.h>

#include <csignal>
#include <thread>

#include "tests/crash/fixture.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

class PowerLoss : public CrashTest {
 protected:
  ~PowerLoss() override { UnmountBeneath(Base()); }

  void MountDisk() {
    ASSERT_EQ(Shell("mount -o loop,noatime,commit=60 " + Base("image") + " " + Base("disk") + " && mount --bind " + Base("disk/state") +
                    " " + Base("state"))
                  .code,
              0);
  }
  void UnmountDisk() {
    ASSERT_EQ(UnmountWhenFree(Base("state")), 0);
    ASSERT_EQ(UnmountWhenFree(Base("disk")), 0);
  }
};

TEST_F(PowerLoss, SyncedDataSurvives) {
  MakeDirs(Base("disk"));
  MakeDirs(Base("state"));
  ASSERT_EQ(Shell("truncate -s 128M " + Base("image") + " && mkfs.ext4 -q -F " + Base("image")).code, 0);
  ASSERT_EQ(Shell("mount -o loop " + Base("image") + " " + Base("disk") + " && mkdir " + Base("disk/state")).code, 0);
  ASSERT_EQ(UnmountWhenFree(Base("disk")), 0);
  MountDisk();
  for (int tier = 1; tier <= 4; ++tier) UseTier(tier, Base("disk/tier" + std::to_string(tier)));
  Prepare();
  ASSERT_EQ(Shell("sync -f " + Base("disk")).code, 0);
  for (int round = 0; round < 12 && !HasFailure(); ++round) {
    Remember();
    ASSERT_EQ(Shell("sync -f " + Base("disk")).code, 0);
    const auto operations = Continue(2000);
    Workload workload(Mnt(), operations, true);
    ::usleep(50'000 + static_cast<useconds_t>(random_() % 400'000));
    workload.Pause();
    const int daemon = DaemonPid();
    ASSERT_GT(daemon, 0);
    ::kill(daemon, SIGSTOP);
    EXPECT_EQ(workload.Failure(), 0) << std::strerror(workload.Failure());
    ASSERT_EQ(Shell("cp --sparse=always " + Base("image") + " " + Base("copy")).code, 0);
    workload.Kill();
    ::kill(daemon, SIGKILL);
    for (int i = 0; i < 500 && ::kill(daemon, 0) == 0; ++i) ::usleep(10'000);
    ASSERT_EQ(::umount2(Mnt().c_str(), MNT_DETACH), 0) << std::strerror(errno);
    UnmountDisk();
    ASSERT_EQ(Shell("mv " + Base("copy") + " " + Base("image")).code, 0);
    const Ran fsck = Shell("e2fsck -fy " + Base("image"));
    ASSERT_LE(fsck.code, 1) << fsck.out;
    MountDisk();
    ASSERT_TRUE(Mount()) << Refusal();
    ExpectRecovered(operations, workload.Finished(), workload.Started());
  }
  Unmount();
  SkipKernelComparison();
  UnmountDisk();
}

}  // namespace
}  // namespace tierfs::test
