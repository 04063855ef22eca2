// Inode flags, as chattr(1) sets them, on files and on merged directories. TearDown clears the
// flags, so that an immutable entry can be removed with the directory of the test.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

int FlagsOf(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  EXPECT_EQ(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags), 0) << path << ": " << std::strerror(errno);
  return flags;
}

// Sets the flags `on`, clears the flags `off`, and returns errno.
int Change(const std::string& path, int on, int off) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return errno;
  flags = (flags | on) & ~off;
  return Errno(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
}

class InodeFlags : public MountTest {
 protected:
  void SetUp() override {
    SetPolicy("1 *.conf\n3 *.tmp\n4 *.bin\n");
    ASSERT_TRUE(Mount()) << Refusal();
    MakeDirs(Mnt("d"));
  }
  void TearDown() override {
    Shell("chattr -R -f -i -a " + Mnt() + " " + Base());
    MountTest::TearDown();
  }
};

TEST_F(InodeFlags, ReachEveryPartOfADirectory) {
  WriteFile(Mnt("d/x.conf"), "1");
  WriteFile(Mnt("d/x.bin"), "4");
  WriteFile(Mnt("d/x"), "2");
  ASSERT_EQ(Change(Mnt("d"), FS_IMMUTABLE_FL, 0), 0);
  for (const int tier : {1, 2, 4}) EXPECT_TRUE(FlagsOf(Tier(tier, "d")) & FS_IMMUTABLE_FL) << tier;
  for (const char* name : {"d/x.conf", "d/x.bin", "d/x"}) EXPECT_EQ(Errno(::unlink(Mnt(name).c_str())), EPERM) << name;
  EXPECT_EQ(Errno(::open(Mnt("d/y").c_str(), O_CREAT | O_WRONLY, 0644)), EPERM);
  EXPECT_EQ(Errno(::chmod(Mnt("d").c_str(), 0700)), EPERM);
  ASSERT_EQ(Change(Mnt("d"), 0, FS_IMMUTABLE_FL), 0);
  for (const int tier : {1, 2, 4}) EXPECT_FALSE(FlagsOf(Tier(tier, "d")) & FS_IMMUTABLE_FL) << tier;
  EXPECT_EQ(Shell("rm -r " + Mnt("d")).code, 0);
  EXPECT_EQ(TreesWith("d"), std::set<int>{});
}

TEST_F(InodeFlags, HoldInATierThatTheDirectoryIsClonedInto) {
  ASSERT_EQ(Change(Mnt("d"), FS_IMMUTABLE_FL, 0), 0);
  ASSERT_EQ(TreesWith("d"), std::set<int>{2});
  EXPECT_EQ(Errno(::open(Mnt("d/x.conf").c_str(), O_CREAT | O_WRONLY, 0644)), EPERM);
  EXPECT_EQ(Errno(::mkdir(Mnt("d/x.bin").c_str(), 0755)), EPERM);
  EXPECT_EQ(Names(Mnt("d")), std::set<std::string>{});
  ASSERT_EQ(Change(Mnt("d"), 0, FS_IMMUTABLE_FL), 0);
  EXPECT_EQ(Shell("rm -r " + Mnt("d")).code, 0);

  MakeDirs(Mnt("log/sub"));
  ASSERT_EQ(Change(Mnt("log"), FS_APPEND_FL, 0), 0);
  WriteFile(Mnt("log/a.bin"), "a");
  MakeDirs(Mnt("log/b.conf"));
  WriteFile(Mnt("log/sub/c.tmp"), "c");
  for (const char* name : {"log/a.bin", "log/b.conf", "log/sub"}) {
    EXPECT_EQ(Errno(::rename(Mnt(name).c_str(), Mnt("moved").c_str())), EPERM) << name;
  }
  EXPECT_EQ(Errno(::unlink(Mnt("log/a.bin").c_str())), EPERM);
  EXPECT_EQ(TreesWith("log"), (std::set<int>{1, 2, 3, 4}));
  for (const int tier : {1, 2, 3, 4}) EXPECT_TRUE(FlagsOf(Tier(tier, "log")) & FS_APPEND_FL) << tier;
}

TEST_F(InodeFlags, OfAFileAreThoseOfItsDisk) {
  WriteFile(Mnt("f"), "one ");
  const int writer = ::open(Mnt("f").c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(Change(Mnt("f"), FS_APPEND_FL, 0), 0);
  EXPECT_TRUE(FlagsOf(Tier(2, "f")) & FS_APPEND_FL);
  EXPECT_EQ(::write(writer, "two", 3), 3);
  ::close(writer);
  EXPECT_EQ(Errno(::open(Mnt("f").c_str(), O_WRONLY)), EPERM);
  EXPECT_EQ(Errno(::truncate(Mnt("f").c_str(), 0)), EPERM);
  EXPECT_EQ(Errno(::rename(Mnt("f").c_str(), Mnt("g").c_str())), EPERM);
  EXPECT_EQ(ReadFile(Mnt("f")), "one two");
  const std::string path = Mnt("f");
  EXPECT_TRUE(As(1000, 1000, {}, [&] { return Change(path, 0, FS_APPEND_FL) == EPERM; }));
  EXPECT_EQ(Change(Mnt("f"), 0, FS_APPEND_FL), 0);
  const UniqueFd fd(::open(Mnt("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::unlink(Mnt("f").c_str()), 0);
  int flags = 0;
  EXPECT_EQ(Errno(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags)), 0) << "on an unlinked file";
  EXPECT_EQ(Errno(::ioctl(fd.get(), FIONCLEX + 0x4000, &flags)), ENOTTY);
}

class InodeFlagsOfLower : public MountTest {};

TEST_F(InodeFlagsOfLower, ChangeTheCopyAndNeverTheLayer) {
  MakeDirs(Base("image/d"));
  WriteFile(Base("image/d/f"), "image");
  AddToConfig("lower = [\"" + Base("image") + "\"]");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(FlagsOf(Mnt("d/f")) & FS_NODUMP_FL, 0);
  EXPECT_EQ(TreesWith("d"), std::set<int>{}) << "reading the flags copies nothing up";
  ASSERT_EQ(Change(Mnt("d/f"), FS_NODUMP_FL, 0), 0);
  ASSERT_EQ(Change(Mnt("d"), FS_NODUMP_FL, 0), 0);
  EXPECT_TRUE(FlagsOf(Mnt("d/f")) & FS_NODUMP_FL);
  EXPECT_TRUE(FlagsOf(Mnt("d")) & FS_NODUMP_FL);
  EXPECT_FALSE(FlagsOf(Base("image/d/f")) & FS_NODUMP_FL);
  EXPECT_FALSE(FlagsOf(Base("image/d")) & FS_NODUMP_FL);
  EXPECT_TRUE(FlagsOf(Tier(2, "d/f")) & FS_NODUMP_FL);
}

}  // namespace
}  // namespace tierfs::test
