// The limits of a mount that fs/SEMANTICS.md lists. Each one fails with an errno that programs can
// handle.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

class Limits : public MountTest {
 protected:
  void SetUp() override { ASSERT_TRUE(Mount()) << Refusal(); }
};

TEST_F(Limits, OperationsThatTheKernelsFuseDoesNotForwardFail) {
  WriteFile(Mnt("a"), std::string(65536, 'a'));
  WriteFile(Mnt("b"), "");
  const UniqueFd a(::open(Mnt("a").c_str(), O_RDWR | O_CLOEXEC));
  const UniqueFd b(::open(Mnt("b").c_str(), O_RDWR | O_CLOEXEC));
  for (const int mode : {FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE}) {
    EXPECT_EQ(Errno(::fallocate(a.get(), mode, 4096, 4096)), EOPNOTSUPP) << mode;
  }
  EXPECT_EQ(Errno(::ioctl(b.get(), FICLONE, a.get())), EOPNOTSUPP);
  fiemap map{};
  map.fm_length = 65536;
  EXPECT_EQ(Errno(::ioctl(a.get(), FS_IOC_FIEMAP, &map)), EOPNOTSUPP);
  EXPECT_EQ(ReadFile(Mnt("a")), std::string(65536, 'a'));
}

TEST_F(Limits, ADirectoryInSeveralTiersCountsNoSubdirectories) {
  MakeDirs(Mnt("d/sub"));
  EXPECT_EQ(Stat(Mnt("d")).st_nlink, 3U) << "in one tier it counts them";
  WriteFile(Mnt("d/x.tmp"), "");
  Remount();
  EXPECT_EQ(Stat(Mnt("d")).st_nlink, 1U);
  EXPECT_EQ(Shell("find " + Mnt("d") + " -mindepth 1 | wc -l").out, "2\n");
}

TEST_F(Limits, AWriteByRootClearsASetuidBitThatCameWhileTheFileWasOpen) {
  WriteFile(Mnt("tool"), "x");
  const UniqueFd fd(::open(Mnt("tool").c_str(), O_WRONLY));
  ASSERT_EQ(::chmod(Mnt("tool").c_str(), 04755), 0);
  ASSERT_EQ(::write(fd.get(), "y", 1), 1);
  EXPECT_EQ(Stat(Mnt("tool")).st_mode & 07777, Passthrough() ? 0755U : 04755U);
  EXPECT_EQ(Stat(Tier(2, "tool")).st_mode, Stat(Mnt("tool")).st_mode);
}

class CopiesOn : public OverlayTest, public ::testing::WithParamInterface<FileSystem> {};

TEST_P(CopiesOn, ShareBlocksWhereTheDiskCan) {
  const std::string disk = MakeFileSystem(GetParam(), 320);
  for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk + "/tier" + std::to_string(tier));
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), std::string(4 << 20, 'a'));
  for (const char* name : {"copy", "copy.tmp"}) {
    ASSERT_EQ(Execute({"cp", "--reflink=auto", Mnt("a"), Mnt(name)}).code, 0);
    EXPECT_EQ(ReadFile(Mnt(name)), std::string(4 << 20, 'a'));
  }
  EXPECT_TRUE(SharesBlocks(Tier(2, "copy")));
  EXPECT_TRUE(SharesBlocks(Tier(3, "copy.tmp"))) << "also from one tier to another";
}

INSTANTIATE_TEST_SUITE_P(Reflink, CopiesOn, ::testing::Values(FileSystem::kXfs, FileSystem::kBtrfs),
                         [](const auto& kind) { return std::string(kind.param == FileSystem::kXfs ? "xfs" : "btrfs"); });

}  // namespace
}  // namespace tierfs::test
