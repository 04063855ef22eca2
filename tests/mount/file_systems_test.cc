// Renames and links between tiers on every kind of file system, with one disk for all tiers or one
// for each.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

struct Disks {
  const char* name;
  FileSystem data;   // tier 2
  FileSystem state;  // tier 3
  bool one;          // both tiers are on one disk
};

class Between : public OverlayTest, public ::testing::WithParamInterface<Disks> {
 protected:
  void SetUp() override {
    const std::string data = MakeFileSystem(GetParam().data, 320);
    UseTier(2, data + "/two");
    UseTier(3, (GetParam().one ? data : MakeFileSystem(GetParam().state, 320)) + "/three");
    SetPolicy("3 *.tmp\n3 cache/\n");
    lower_ = AddLower("lower");
    MakeDirs(lower_ + "/low");
    WriteFile(lower_ + "/low/l", "lower");
    ASSERT_TRUE(Mount()) << Refusal();
  }
  void TearDown() override {
    ExpectNoWorkFiles();
    if (IsMounted()) {
      EXPECT_EQ(Execute({TIERCTL_BINARY, "check", ConfigFile()}).out, "test: nothing found\n");
    }
    OverlayTest::TearDown();
  }
  [[nodiscard]] static bool Across() { return !GetParam().one; }
  int Exchange(const std::string& a, const std::string& b) {
    return Errno(::renameat2(AT_FDCWD, Mnt(a).c_str(), AT_FDCWD, Mnt(b).c_str(), RENAME_EXCHANGE));
  }

 private:
  std::string lower_;
};

TEST_P(Between, ARenameMovesAFileToItsTierWithAllItsAttributes) {
  WriteFile(Mnt("doc"), "old");
  WriteFile(Mnt("doc.tmp"), "new");
  ASSERT_EQ(::truncate(Mnt("doc.tmp").c_str(), 5 << 20), 0);
  ASSERT_EQ(Shell("printf end >> " + Mnt("doc.tmp") + "; setfacl -m u:7:r " + Mnt("doc.tmp")).code, 0);
  ASSERT_EQ(::chown(Mnt("doc.tmp").c_str(), 7, 8), 0);
  ASSERT_EQ(::setxattr(Mnt("doc.tmp").c_str(), "user.k", "v", 1, 0), 0) << std::strerror(errno);
  const timespec times[2] = {{1000, 1}, {2000, 2}};
  ASSERT_EQ(::utimensat(AT_FDCWD, Mnt("doc.tmp").c_str(), times, 0), 0);
  const Snapshot before = TakeSnapshot(Mnt());
  WaitForHandles(0);
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
  EXPECT_EQ(TreesWith("doc.tmp"), std::set<int>{});
  const Snapshot after = TakeSnapshot(Mnt());
  EXPECT_EQ(Difference(before.at("doc.tmp"), after.at("doc")), "");
  EXPECT_EQ(Shell("getfattr -m - " + Mnt("doc") + " | grep -c SGI_ACL").out, "0\n") << "the mount does not show the internal name of XFS";
  if (GetParam().data != FileSystem::kXfs) {
    EXPECT_EQ(Xattr(Tier(2, "doc"), "trusted.SGI_ACL_FILE"), "");
  }
  EXPECT_EQ(before.at("doc.tmp").st.st_ino, after.at("doc").st.st_ino);
  EXPECT_LT(Stat(Tier(2, "doc")).st_blocks, 2048) << "the hole is kept";
}

TEST_P(Between, EveryKindOfEntryCanBeRenamed) {
  ASSERT_EQ(::symlink("there", Mnt("link.tmp").c_str()), 0);
  ASSERT_EQ(::mknod(Mnt("fifo.tmp").c_str(), S_IFIFO | 0640, 0), 0);
  WriteFile(Mnt("empty.tmp"), "");
  WaitForHandles(0);
  for (const char* name : {"link", "fifo", "empty"}) {
    ASSERT_EQ(::rename(Mnt(name + std::string(".tmp")).c_str(), Mnt(name).c_str()), 0) << name << ": " << std::strerror(errno);
    EXPECT_EQ(TreesWith(name), std::set<int>{2}) << name;
    ASSERT_EQ(::rename(Mnt(name).c_str(), Mnt(name + std::string(".tmp")).c_str()), 0) << name << ": " << std::strerror(errno);
    EXPECT_EQ(TreesWith(name + std::string(".tmp")), std::set<int>{3}) << name;
  }
}

TEST_P(Between, NoreplaceAndExchangeWork) {
  WriteFile(Mnt("a"), "a");
  WriteFile(Mnt("b.tmp"), "b");
  const auto noreplace = [&](const char* from, const char* to) {
    return Errno(::renameat2(AT_FDCWD, Mnt(from).c_str(), AT_FDCWD, Mnt(to).c_str(), RENAME_NOREPLACE));
  };
  EXPECT_EQ(noreplace("b.tmp", "a"), EEXIST);
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  EXPECT_EQ(noreplace("b.tmp", "c"), 0);
  EXPECT_EQ(noreplace("c", "b.tmp"), 0);
  Settled();
  EXPECT_EQ(TreesWith("b.tmp"), std::set<int>{3});
  EXPECT_EQ(Exchange("a", "b.tmp"), Across() ? EXDEV : 0);
  EXPECT_EQ(ReadFile(Mnt("a")), Across() ? "a" : "b");
  EXPECT_EQ(ReadFile(Mnt("b.tmp")), Across() ? "b" : "a");
  Settled();
  EXPECT_EQ(TreesWith("a"), std::set<int>{2});
  EXPECT_EQ(TreesWith("b.tmp"), std::set<int>{3});
}

TEST_P(Between, AFileAndADirectoryCanBeExchanged) {
  MakeDirs(Mnt("cache/sub"));
  WriteFile(Mnt("cache/sub/x"), "x");
  WriteFile(Mnt("file"), "file");
  EXPECT_EQ(TreesWith("cache/sub/x"), std::set<int>{3});
  ASSERT_EQ(Exchange("cache", "file"), 0);
  EXPECT_EQ(ReadFile(Mnt("cache")), "file");
  EXPECT_EQ(ReadFile(Mnt("file/sub/x")), "x");
  Settled();
  EXPECT_EQ(TreesWith("file/sub/x"), std::set<int>{2});
  EXPECT_EQ(TreesWith("cache"), std::set<int>{2}) << "the rule is for a directory of that name";
  ASSERT_EQ(Exchange("low", "cache"), 0) << "with lower content";
  EXPECT_EQ(ReadFile(Mnt("low")), "file");
  EXPECT_EQ(ReadFile(Mnt("cache/l")), "lower");
  Settled();
  EXPECT_EQ(TreesWith("cache/l"), std::set<int>{3});
}

TEST_P(Between, ADirectoryIsRenamedWithItsFilesInEachTier) {
  MakeDirs(Mnt("d/sub"));
  WriteFile(Mnt("d/a"), "2");
  WriteFile(Mnt("d/x.tmp"), "3");
  WriteFile(Mnt("d/sub/y.tmp"), "3");
  MakeDirs(Mnt("e"));
  UniqueFd open(::open(Mnt("d/a").c_str(), O_RDWR | O_APPEND));
  ASSERT_EQ(::rename(Mnt("d").c_str(), Mnt("e").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::rename(Mnt("e").c_str(), Mnt("cache").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::write(open.get(), "w", 1), 1) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("cache/a")), "2w");
  EXPECT_EQ(ReadFile(Mnt("cache/sub/y.tmp")), "3");
  ASSERT_EQ(::rename(Mnt("low").c_str(), Mnt("cache/low").c_str()), 0) << std::strerror(errno);
  open.Reset();
  Settled();
  EXPECT_EQ(TreesWith("cache/a"), std::set<int>{3});
  EXPECT_EQ(TreesWith("cache/low/l"), std::set<int>{3});
  EXPECT_EQ(TreesWith("cache"), std::set<int>{3});
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"2/low"});
}

TEST_P(Between, LinksShareOneInode) {
  WriteFile(Mnt("a"), "a");
  ASSERT_EQ(::link(Mnt("a").c_str(), Mnt("a.tmp").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("a.tmp"), std::set<int>{Across() ? 2 : 3}) << "one inode is in one tier";
  EXPECT_EQ(Stat(Mnt("a")).st_nlink, 2U);
  EXPECT_EQ(Stat(Mnt("a.tmp")).st_nlink, 2U);
  EXPECT_EQ(Stat(Mnt("a")).st_ino, Stat(Mnt("a.tmp")).st_ino);
  ASSERT_EQ(Shell("printf b >> " + Mnt("a.tmp")).code, 0);
  EXPECT_EQ(ReadFile(Mnt("a")), "ab");
  WriteFile(Mnt("b.tmp"), "b");
  EXPECT_EQ(Errno(::link(Mnt("b.tmp").c_str(), Mnt("b").c_str())), Across() ? EXDEV : 0)
      << "a link cannot add a name in a better protected tier";
  // A file with other names stays with them. It settles once only one name is left.
  ASSERT_EQ(::rename(Mnt("a").c_str(), Mnt("c.tmp").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Stat(Mnt("c.tmp")).st_nlink, 2U);
  EXPECT_EQ(ReadFile(Mnt("c.tmp")), "ab");
  ASSERT_EQ(::unlink(Mnt("a.tmp").c_str()), 0);
  EXPECT_EQ(Stat(Mnt("c.tmp")).st_nlink, 1U);
  Settled();
  EXPECT_EQ(TreesWith("c.tmp"), std::set<int>{3});
  // The first link of a lower file copies it up.
  ASSERT_EQ(::link(Mnt("low/l").c_str(), Mnt("low/m").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Stat(Mnt("low/l")).st_ino, Stat(Mnt("low/m")).st_ino);
  EXPECT_EQ(Stat(Mnt("low/l")).st_nlink, 2U);
}

TEST_P(Between, AnOpenFileKeepsItsWritesAndItsLocks) {
  UniqueFd fd(::open(Mnt("doc.tmp").c_str(), O_RDWR | O_CREAT, 0644));
  ASSERT_EQ(::write(fd.get(), "one ", 4), 4);
  ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0) << std::strerror(errno);
  {
    const UniqueFd other(::open(Mnt("doc").c_str(), O_WRONLY | O_APPEND));
    EXPECT_EQ(Errno(::flock(other.get(), LOCK_EX | LOCK_NB)), EWOULDBLOCK);
    ASSERT_EQ(::write(other.get(), "two ", 4), 4);
  }
  ASSERT_EQ(::pwrite(fd.get(), "three", 5, 8), 5);
  EXPECT_EQ(ReadFile(Mnt("doc")), "one two three");
  ASSERT_EQ(::flock(fd.get(), LOCK_UN), 0);
  fd.Reset();
  Settled();
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
  EXPECT_EQ(ReadFile(Mnt("doc")), "one two three");
}

TEST_P(Between, AnUnnamedFileIsLinkedInTheTierOfItsPath) {
  for (const char* name : {"made", "made.tmp"}) {
    UniqueFd fd(::open(Mnt().c_str(), O_TMPFILE | O_RDWR, 0640));
    ASSERT_TRUE(fd) << std::strerror(errno);
    ASSERT_EQ(::write(fd.get(), name, 4), 4);
    ASSERT_EQ(::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), AT_FDCWD, Mnt(name).c_str(), AT_SYMLINK_FOLLOW), 0)
        << std::strerror(errno);
    EXPECT_EQ(ReadFile(Mnt(name)), "made");
    fd.Reset();
    Settled();
  }
  EXPECT_EQ(TreesWith("made"), std::set<int>{2});
  EXPECT_EQ(TreesWith("made.tmp"), std::set<int>{3});
}

INSTANTIATE_TEST_SUITE_P(On, Between,
                         ::testing::Values(Disks{"one_ext4", FileSystem::kExt4, FileSystem::kExt4, true},
                                           Disks{"one_xfs", FileSystem::kXfs, FileSystem::kXfs, true},
                                           Disks{"one_btrfs", FileSystem::kBtrfs, FileSystem::kBtrfs, true},
                                           Disks{"one_tmpfs", FileSystem::kTmpfs, FileSystem::kTmpfs, true},
                                           Disks{"ext4_xfs", FileSystem::kExt4, FileSystem::kXfs, false},
                                           Disks{"xfs_btrfs", FileSystem::kXfs, FileSystem::kBtrfs, false},
                                           Disks{"btrfs_tmpfs", FileSystem::kBtrfs, FileSystem::kTmpfs, false},
                                           Disks{"tmpfs_ext4", FileSystem::kTmpfs, FileSystem::kExt4, false}),
                         [](const auto& disks) { return std::string(disks.param.name); });

}  // namespace
}  // namespace tierfs::test
