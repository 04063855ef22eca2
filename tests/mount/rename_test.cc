// Renames and links between tiers.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

class Rename : public MountTest {
 protected:
  void SetUp() override {
    SetPolicy("1 /etc/\n3 *.tmp\n4 /usr/\n");
    ASSERT_TRUE(Mount()) << Refusal();
    MakeDirs(Mnt("etc"));
    MakeDirs(Mnt("usr"));
  }
};

TEST_F(Rename, EditorsCanSave) {
  WriteFile(Mnt("etc/conf"), "old");
  for (int i = 0; i < 50; ++i) {
    const std::string text = "version " + std::to_string(i);
    const int fd = ::open(Mnt("etc/conf.tmp").c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ASSERT_EQ(::fsync(fd), 0);
    ::close(fd);
    ASSERT_EQ(TreesWith("etc/conf.tmp"), std::set<int>{3});
    ASSERT_EQ(::rename(Mnt("etc/conf.tmp").c_str(), Mnt("etc/conf").c_str()), 0) << std::strerror(errno);
    ASSERT_EQ(ReadFile(Mnt("etc/conf")), text);
    ASSERT_EQ(TreesWith("etc/conf"), std::set<int>{1});
  }
  EXPECT_EQ(Names(Mnt("etc")), std::set<std::string>{"conf"});
}

TEST_F(Rename, ANameIsNeverAbsentToAReader) {
  WriteFile(Mnt("etc/conf"), "0");
  const pid_t writer = ::fork();
  if (writer == 0) {
    for (int i = 0; i < 1000; ++i) {
      WriteFile(Mnt("etc/conf.tmp"), std::to_string(i));
      if (::rename(Mnt("etc/conf.tmp").c_str(), Mnt("etc/conf").c_str()) != 0) ::_exit(1);
    }
    ::_exit(0);
  }
  int missing = 0;
  int status = 0;
  while (::waitpid(writer, &status, WNOHANG) == 0) {
    const int fd = ::open(Mnt("etc/conf").c_str(), O_RDONLY);
    if (fd < 0) {
      ++missing;
    } else {
      ::close(fd);
    }
  }
  EXPECT_EQ(status, 0);
  EXPECT_EQ(missing, 0);
}

TEST_F(Rename, OfAFileOpenForWritingKeepsEveryWrite) {
  const int fd = ::open(Mnt("doc.tmp").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0);
  ASSERT_EQ(::write(fd, "after", 5), 5);
  const int second = ::open(Mnt("doc").c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(::write(second, "!", 1), 1);
  ::close(second);
  ::close(fd);
  EXPECT_EQ(ReadFile(Mnt("doc")), "before after!");
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
  EXPECT_EQ(Names(Mnt()), (std::set<std::string>{"doc", "etc", "usr"}));
}

TEST_F(Rename, OverAnOpenAndMappedFileKeepsTheOldOneAlive) {
  WriteFile(Mnt("doc"), std::string(8192, 'o'));
  const int fd = ::open(Mnt("doc").c_str(), O_RDWR);
  char* map = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(map, MAP_FAILED);
  WriteFile(Mnt("doc.tmp"), "new");
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0);
  EXPECT_EQ(map[5000], 'o');
  map[5000] = 'x';
  char byte = 0;
  ASSERT_EQ(::pread(fd, &byte, 1, 5000), 1);
  EXPECT_EQ(byte, 'x');
  struct stat st {};
  ASSERT_EQ(::fstat(fd, &st), 0);
  EXPECT_EQ(st.st_nlink, 0U);
  EXPECT_EQ(st.st_size, 8192);
  ::munmap(map, 8192);
  ::close(fd);
  EXPECT_EQ(ReadFile(Mnt("doc")), "new");
}

TEST_F(Rename, InodeNumbersStayTheSameThroughRenameAndSettling) {
  WriteFile(Mnt("doc.tmp"), "x");
  const ino_t inode = Stat(Mnt("doc.tmp")).st_ino;
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("etc/doc").c_str()), 0);
  EXPECT_EQ(Stat(Mnt("etc/doc")).st_ino, inode);
  Remount();
  EXPECT_EQ(Stat(Mnt("etc/doc")).st_ino, inode);
}

TEST_F(Rename, NoreplaceAndExchangeWork) {
  WriteFile(Mnt("etc/a"), "A");
  WriteFile(Mnt("usr/b"), "B");
  EXPECT_EQ(Errno(::renameat2(AT_FDCWD, Mnt("etc/a").c_str(), AT_FDCWD, Mnt("usr/b").c_str(), RENAME_NOREPLACE)), EEXIST);
  ASSERT_EQ(::renameat2(AT_FDCWD, Mnt("etc/a").c_str(), AT_FDCWD, Mnt("usr/b").c_str(), RENAME_EXCHANGE), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "B");
  EXPECT_EQ(ReadFile(Mnt("usr/b")), "A");
  EXPECT_EQ(TreesWith("etc/a"), std::set<int>{1});
  EXPECT_EQ(TreesWith("usr/b"), std::set<int>{4});
  ASSERT_EQ(::renameat2(AT_FDCWD, Mnt("etc/a").c_str(), AT_FDCWD, Mnt("usr/new").c_str(), RENAME_NOREPLACE), 0);
  EXPECT_EQ(TreesWith("usr/new"), std::set<int>{4});
  EXPECT_EQ(Errno(::renameat2(AT_FDCWD, Mnt("usr/b").c_str(), AT_FDCWD, Mnt("none").c_str(), RENAME_EXCHANGE)), ENOENT);
}

TEST_F(Rename, ExchangeOfAFileAndADirectory) {
  WriteFile(Mnt("file"), "f");
  MakeDirs(Mnt("dir"));
  WriteFile(Mnt("dir/x"), "x");
  ASSERT_EQ(::renameat2(AT_FDCWD, Mnt("file").c_str(), AT_FDCWD, Mnt("dir").c_str(), RENAME_EXCHANGE), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("dir")), "f");
  EXPECT_EQ(ReadFile(Mnt("file/x")), "x");
}

TEST_F(Rename, ErrorsAreThoseOfADisk) {
  MakeDirs(Mnt("d/sub"));
  WriteFile(Mnt("f"), "");
  EXPECT_EQ(Errno(::rename(Mnt("d").c_str(), Mnt("d/sub/x").c_str())), EINVAL);
  EXPECT_EQ(Errno(::rename(Mnt("f").c_str(), Mnt("d").c_str())), EISDIR);
  EXPECT_EQ(Errno(::rename(Mnt("d").c_str(), Mnt("f").c_str())), ENOTDIR);
  EXPECT_EQ(Errno(::rename(Mnt("none").c_str(), Mnt("f").c_str())), ENOENT);
  EXPECT_EQ(Errno(::rename(Mnt("f").c_str(), Mnt("f").c_str())), 0);
}

TEST_F(Rename, LinksAreInTheTreesOfTheirPaths) {
  WriteFile(Mnt("etc/a"), "shared");
  ASSERT_EQ(::link(Mnt("etc/a").c_str(), Mnt("usr/a").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Stat(Mnt("etc/a")).st_ino, Stat(Mnt("usr/a")).st_ino);
  EXPECT_EQ(Stat(Mnt("etc/a")).st_nlink, 2U);
  WriteFile(Mnt("usr/a"), "changed");
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "changed");
  Remount();
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "changed");
  EXPECT_EQ(Stat(Mnt("etc/a")).st_ino, Stat(Mnt("usr/a")).st_ino);
  ASSERT_EQ(::unlink(Mnt("etc/a").c_str()), 0);
  EXPECT_EQ(Stat(Mnt("usr/a")).st_nlink, 1U);
  EXPECT_EQ(ReadFile(Mnt("usr/a")), "changed");
}

TEST_F(Rename, OfOneLinkOntoAnotherDoesNothing) {
  WriteFile(Mnt("etc/a"), "x");
  ASSERT_EQ(::link(Mnt("etc/a").c_str(), Mnt("b").c_str()), 0);
  EXPECT_EQ(Errno(::rename(Mnt("etc/a").c_str(), Mnt("b").c_str())), 0);
  EXPECT_TRUE(Exists(Mnt("etc/a")));
  EXPECT_TRUE(Exists(Mnt("b")));
}

}  // namespace
}  // namespace tierfs::test
