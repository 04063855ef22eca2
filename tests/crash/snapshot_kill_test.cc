// The daemon is killed while a snapshot is made, stands, or keeps what a write destroys. No write
// is lost or hangs, and the next daemon makes snapshots again.
#ifdef TIERFS_FAULTS

#include <fcntl.h>

#include <future>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using namespace std::chrono_literals;

class SnapshotKill : public OverlayTest {
 protected:
  void SetUp() override {
    const std::string disk = MakeFileSystem(FileSystem::kExt4, 200);
    for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk + "/tier" + std::to_string(tier));
    AddToConfig("snapshot.path = \"" + Base("view") + "\"");
    MakeDirs(Base("hold"));
  }
  void MountWith(const char* variable, const std::string& value) {
    ::setenv(variable, value.c_str(), 1);
    const bool mounted = Mount();
    ::unsetenv(variable);
    ASSERT_TRUE(mounted) << Refusal();
  }
  [[nodiscard]] Ran Create() const { return Execute({TIERCTL_BINARY, "snapshot", "create", ConfigFile()}); }
  void TakeDeadMountAway() const { (void)Execute({"umount", "-l", Mnt()}); }
  void ExpectSnapshotsAgain(const std::string& content) {
    ASSERT_TRUE(Mount()) << Refusal();
    EXPECT_EQ(ReadFile(Mnt("file")), content);
    const Ran created = Create();
    EXPECT_EQ(created.code, 0) << created.err;
    EXPECT_EQ(ReadFile(Base("view/tier2/file")), content);
    EXPECT_EQ(Execute({TIERCTL_BINARY, "snapshot", "delete", ConfigFile()}).code, 0);
  }
};

TEST_F(SnapshotKill, AtEachPoint) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("file"), "old");
  Unmount();
  for (const char* point : {"snapshot.taken", "snapshot.mounted", "snapshot.kept"}) {
    SCOPED_TRACE(point);
    MountWith("TIERFS_FAULT", point);
    UniqueFd file(::open(Mnt("file").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(file);
    (void)Create();
    // The write may be the one that is kept as the daemon dies.
    std::thread writer([&] { (void)::pwrite(file.get(), "old", 3, 0); });
    writer.join();
    for (int i = 0; i < 500 && DaemonPid() > 0; ++i) ::usleep(10'000);
    ASSERT_LE(DaemonPid(), 0) << "the fault point was not reached";
    file.Reset();
    TakeDeadMountAway();
    ExpectSnapshotsAgain("old");
    Unmount();
  }
}

TEST_F(SnapshotKill, AWriterThatIsHeldGoesOn) {
  MountWith("TIERFS_FAULT_HOLD", Base("hold"));
  ASSERT_TRUE(Passthrough());
  WriteFile(Mnt("file"), "old");
  UniqueFd file(::open(Mnt("file").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(file);
  ASSERT_EQ(Create().code, 0);
  WriteFile(Base("hold/snapshot.kept"), "");
  auto written = std::async(std::launch::async, [&] { return ::pwrite(file.get(), "new", 3, 0); });
  for (int i = 0; i < 1000 && !Exists(Base("hold/snapshot.kept.held")); ++i) ::usleep(10'000);
  ASSERT_TRUE(Exists(Base("hold/snapshot.kept.held"))) << "the write was not held";
  EXPECT_EQ(written.wait_for(0s), std::future_status::timeout);
  EXPECT_EQ(ReadFile(Tier(2, "file")), "old");
  KillDaemon();
  ASSERT_EQ(written.wait_for(10s), std::future_status::ready) << "the writer hangs";
  EXPECT_EQ(written.get(), 3);
  file.Reset();
  ExpectSnapshotsAgain("new");
}

}  // namespace
}  // namespace tierfs::test

#endif
