// Directories are unions over the tiers.
#include <fcntl.h>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

class Directory : public MountTest {
 protected:
  void SetUp() override {
    SetPolicy("1 *.conf\n3 *.tmp\n4 *.bin\n3 /cache/\n");
    ASSERT_TRUE(Mount()) << Refusal();
  }
};

TEST_F(Directory, ParentsAreClonedWithEverything) {
  MakeDirs(Mnt("a/b"));
  ASSERT_EQ(::chmod(Mnt("a").c_str(), 02750), 0);
  ASSERT_EQ(::chown(Mnt("a/b").c_str(), 1234, 2345), 0);
  ASSERT_EQ(::chmod(Mnt("a/b").c_str(), 01777), 0);
  ASSERT_EQ(::setxattr(Mnt("a/b").c_str(), "user.note", "n", 1, 0), 0);
  ASSERT_EQ(Shell("setfacl -m u:77:rwx -m d:g:88:rx " + Mnt("a/b")).code, 0);
  ASSERT_EQ(Shell("touch -d 2001-02-03 " + Mnt("a/b")).code, 0);
  const auto before = Stat(Mnt("a/b"));
  WriteFile(Mnt("a/b/x.conf"), "x");
  ASSERT_EQ(TreesWith("a/b"), (std::set<int>{1, 2}));
  for (const int tier : {1, 2}) {
    const auto part = Stat(Tier(tier, "a/b"));
    EXPECT_EQ(part.st_mode, before.st_mode) << tier;
    EXPECT_EQ(part.st_uid, 1234U) << tier;
    EXPECT_EQ(part.st_gid, 2345U) << tier;
    EXPECT_EQ(Xattr(Tier(tier, "a/b"), "user.note"), "n") << tier;
    EXPECT_EQ(Xattr(Tier(tier, "a/b"), "system.posix_acl_access"), Xattr(Mnt("a/b"), "system.posix_acl_access")) << tier;
    EXPECT_EQ(Xattr(Tier(tier, "a/b"), "system.posix_acl_default"), Xattr(Mnt("a/b"), "system.posix_acl_default")) << tier;
    EXPECT_NE(Xattr(Tier(tier, "a/b"), "system.posix_acl_default"), "") << tier;
  }
  EXPECT_EQ(Stat(Tier(1, "a")).st_mode & 07777, 02750U);
}

TEST_F(Directory, AChangeAppliesInEveryTierOfTheDirectory) {
  MakeDirs(Mnt("d"));
  for (const char* name : {"x.conf", "x.tmp", "x.bin", "x"}) WriteFile(Mnt(std::string("d/") + name), name);
  ASSERT_EQ(TreesWith("d"), (std::set<int>{1, 2, 3, 4}));
  ASSERT_EQ(::chmod(Mnt("d").c_str(), 0711), 0);
  ASSERT_EQ(::chown(Mnt("d").c_str(), 9, 8), 0);
  ASSERT_EQ(::setxattr(Mnt("d").c_str(), "user.k", "v", 1, 0), 0);
  const timespec times[2] = {{1000, 5}, {2000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, Mnt("d").c_str(), times, 0), 0);
  for (int tier = 1; tier <= 4; ++tier) {
    const auto st = Stat(Tier(tier, "d"));
    EXPECT_EQ(st.st_mode & 07777, 0711U);
    EXPECT_EQ(st.st_uid, 9U);
    EXPECT_EQ(st.st_gid, 8U);
    EXPECT_EQ(st.st_mtim.tv_sec, 2000);
    EXPECT_EQ(st.st_mtim.tv_nsec, 7);
    EXPECT_EQ(Xattr(Tier(tier, "d"), "user.k"), "v");
  }
  // A change of the directory's content moves the time of the part that it is in. The mount shows
  // the newest.
  WriteFile(Mnt("d/new.tmp"), "3");
  for (const int tier : {1, 2, 4}) EXPECT_EQ(Stat(Tier(tier, "d")).st_mtim.tv_sec, 2000) << tier;
  EXPECT_GT(Stat(Tier(3, "d")).st_mtim.tv_sec, 2000);
  EXPECT_EQ(Stat(Mnt("d")).st_mtim.tv_sec, Stat(Tier(3, "d")).st_mtim.tv_sec);
  ASSERT_EQ(::removexattr(Mnt("d").c_str(), "user.k"), 0);
  for (int tier = 1; tier <= 4; ++tier) EXPECT_EQ(Xattr(Tier(tier, "d"), "user.k"), "");
}

TEST_F(Directory, AListingShowsEachNameOfAllTiersOnce) {
  MakeDirs(Mnt("d/sub"));
  WriteFile(Mnt("d/sub/x.bin"), "");
  std::set<std::string> expected{"sub"};
  for (int i = 0; i < 3000; ++i) {
    const char* suffix[] = {".conf", ".tmp", ".bin", ""};
    const std::string name = "file" + std::to_string(i) + suffix[i % 4];
    WriteFile(Mnt("d/" + name), "");
    expected.insert(name);
  }
  EXPECT_EQ(Names(Mnt("d")), expected);
  Remount();
  EXPECT_EQ(Names(Mnt("d")), expected);
}

TEST_F(Directory, TheMtimeIsTheNewestOfAllParts) {
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/x.conf"), "");
  WriteFile(Mnt("d/x.bin"), "");
  ASSERT_EQ(Shell("touch -d 2030-01-01 " + Tier(4, "d")).code, 0);
  Remount();
  EXPECT_EQ(Stat(Mnt("d")).st_mtim.tv_sec, Stat(Tier(4, "d")).st_mtim.tv_sec);
}

TEST_F(Directory, RmdirRequiresThatEveryPartIsEmpty) {
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/x.bin"), "");
  EXPECT_EQ(Errno(::rmdir(Mnt("d").c_str())), ENOTEMPTY);
  ASSERT_EQ(::unlink(Mnt("d/x.bin").c_str()), 0);
  EXPECT_EQ(Errno(::rmdir(Mnt("d").c_str())), 0);
  EXPECT_EQ(TreesWith("d"), std::set<int>{});
  EXPECT_EQ(Errno(::rmdir(Mnt("d").c_str())), ENOENT);
}

TEST_F(Directory, ARenameAppliesInEveryTierOfTheDirectory) {
  MakeDirs(Mnt("old/sub"));
  WriteFile(Mnt("old/x.conf"), "1");
  WriteFile(Mnt("old/sub/x.bin"), "4");
  WriteFile(Mnt("old/x"), "2");
  const ino_t inode = Stat(Mnt("old/x")).st_ino;
  ASSERT_EQ(::rename(Mnt("old").c_str(), Mnt("new").c_str()), 0) << std::strerror(errno);
  EXPECT_FALSE(Exists(Mnt("old")));
  EXPECT_EQ(TreesWith("old"), std::set<int>{});
  EXPECT_EQ(ReadFile(Mnt("new/x.conf")) + ReadFile(Mnt("new/x")) + ReadFile(Mnt("new/sub/x.bin")), "124");
  EXPECT_EQ(TreesWith("new/sub/x.bin"), std::set<int>{4});
  EXPECT_EQ(Stat(Mnt("new/x")).st_ino, inode);
  Remount();
  EXPECT_EQ(ReadFile(Mnt("new/sub/x.bin")), "4");
}

TEST_F(Directory, ARenameReplacesAnEmptyDirectoryInOtherTiers) {
  MakeDirs(Mnt("a"));
  MakeDirs(Mnt("b"));
  WriteFile(Mnt("a/x.bin"), "4");
  WriteFile(Mnt("b/y.conf"), "");
  EXPECT_EQ(Errno(::rename(Mnt("a").c_str(), Mnt("b").c_str())), ENOTEMPTY);
  ASSERT_EQ(::unlink(Mnt("b/y.conf").c_str()), 0);
  EXPECT_EQ(Errno(::rename(Mnt("a").c_str(), Mnt("b").c_str())), 0);
  EXPECT_EQ(Names(Mnt("b")), std::set<std::string>{"x.bin"});
  EXPECT_EQ(Names(Mnt()), std::set<std::string>{"b"});
}

TEST_F(Directory, FilesSettleWhenARenameOfTheirDirectoryChangesTheirClass) {
  MakeDirs(Mnt("work/deep"));
  MakeDirs(Mnt("cache"));
  WriteFile(Mnt("work/deep/x"), "2");
  ASSERT_EQ(TreesWith("work/deep/x"), std::set<int>{2});
  ASSERT_EQ(::rename(Mnt("work").c_str(), Mnt("cache/work").c_str()), 0);
  EXPECT_EQ(ReadFile(Mnt("cache/work/deep/x")), "2");
  for (int i = 0; i < 500 && TreesWith("cache/work/deep/x") != std::set<int>{3}; ++i) ::usleep(10000);
  EXPECT_EQ(TreesWith("cache/work/deep/x"), std::set<int>{3});
  EXPECT_EQ(ReadFile(Mnt("cache/work/deep/x")), "2");
}

TEST_F(Directory, DotDotAndInodeNumbersAgree) {
  MakeDirs(Mnt("a/b"));
  WriteFile(Mnt("a/x.conf"), "");
  EXPECT_EQ(Stat(Mnt("a/b/..")).st_ino, Stat(Mnt("a")).st_ino);
  EXPECT_EQ(Shell("cd " + Mnt("a/b") + " && ls -id .. && ls -id . && pwd -P").out,
            std::to_string(Stat(Mnt("a")).st_ino) + " ..\n" + std::to_string(Stat(Mnt("a/b")).st_ino) + " .\n" + Mnt("a/b") + "\n");
}

TEST_F(Directory, PlantedSymlinksAreNeverFollowed) {
  MakeDirs(Base("outside"));
  WriteFile(Base("outside/secret"), "s");
  Unmount();
  MakeDirs(Tier(2, "trap"));
  ASSERT_EQ(::symlink(Base("outside").c_str(), Tier(1, "trap").c_str()), 0);
  ASSERT_EQ(::symlink(Base("outside").c_str(), Tier(4, "trap").c_str()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  // The mount shows the directory of the class tier. A file for a tier with a symlink in its place
  // is refused: the daemon follows no symlink and writes nothing outside.
  ASSERT_TRUE(S_ISDIR(Stat(Mnt("trap")).st_mode));
  EXPECT_NE(Errno(::open(Mnt("trap/x.conf").c_str(), O_WRONLY | O_CREAT, 0644)), 0);
  EXPECT_NE(Errno(::mknod(Mnt("trap/x.bin").c_str(), S_IFREG | 0644, 0)), 0);
  WriteFile(Mnt("trap/x"), "2");
  EXPECT_EQ(Names(Base("outside")), std::set<std::string>{"secret"});
  EXPECT_EQ(Names(Mnt("trap")), std::set<std::string>{"x"});
}

TEST_F(Directory, ADirectoryCanBeRemovedWhileItIsOpen) {
  MakeDirs(Mnt("d"));
  const int fd = ::open(Mnt("d").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::rmdir(Mnt("d").c_str()), 0);
  EXPECT_EQ(Errno(::openat(fd, "x", O_CREAT | O_WRONLY, 0644)), ENOENT);
  struct stat st {};
  EXPECT_EQ(::fstat(fd, &st), 0);
  EXPECT_EQ(st.st_nlink, 0U);
  ::close(fd);
}

}  // namespace
}  // namespace tierfs::test
