// The space of a file that loses its last name is free when the call returns.
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

constexpr int kMegabytes = 24;
constexpr std::size_t kMost = 12 << 20;  // more than half of the disk
constexpr int kRounds = 30;

class FreedSpace : public OverlayTest {
 protected:
  void SetUp() override {
    const std::string disk = MakeFileSystem(FileSystem::kExt4, kMegabytes);
    for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk + "/tier" + std::to_string(tier));
    ASSERT_TRUE(Mount()) << Refusal();
  }
  // Writes a file that fits only if nothing else takes much space.
  static void Fill(const std::string& path) {
    static const std::string content(kMost, 'x');
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0644));
    ASSERT_TRUE(fd) << std::strerror(errno);
    ASSERT_EQ(::write(fd.get(), content.data(), kMost), static_cast<ssize_t>(kMost)) << std::strerror(errno);
    ASSERT_EQ(::fsync(fd.get()), 0) << std::strerror(errno);
  }
};

TEST_F(FreedSpace, IsFreeAfterAnUnlink) {
  for (int round = 0; round < kRounds; ++round) {
    Fill(Mnt("fill"));
    if (HasFatalFailure()) FAIL() << "round " << round;
    ASSERT_EQ(::unlink(Mnt("fill").c_str()), 0) << std::strerror(errno);
  }
}

TEST_F(FreedSpace, IsFreeAfterARenameOverTheFile) {
  for (int round = 0; round < kRounds; ++round) {
    Fill(Mnt("fill"));
    if (HasFatalFailure()) FAIL() << "round " << round;
    WriteFile(Mnt("small"), "x");
    ASSERT_EQ(::rename(Mnt("small").c_str(), Mnt("fill").c_str()), 0) << std::strerror(errno);
    Fill(Mnt("other"));
    if (HasFatalFailure()) FAIL() << "round " << round;
    ASSERT_EQ(::unlink(Mnt("other").c_str()), 0);
    ASSERT_EQ(::unlink(Mnt("fill").c_str()), 0);
  }
}

// Small files are given back when the kernel forgets them, which it does at once, but does not wait
// for.
TEST_F(FreedSpace, OfManySmallFilesIsFreeToo) {
  for (int round = 0; round < 5; ++round) {
    MakeDirs(Mnt("many"));
    for (std::size_t i = 0; i < kMost / 65536; ++i) WriteFile(Mnt("many/" + std::to_string(i)), std::string(65536, 'x'));
    ASSERT_EQ(Shell("rm -r " + Mnt("many")).code, 0);
    Fill(Mnt("fill"));
    if (HasFatalFailure()) FAIL() << "round " << round;
    ASSERT_EQ(::unlink(Mnt("fill").c_str()), 0) << std::strerror(errno);
  }
}

// A file that a program has open keeps its content until the close.
TEST_F(FreedSpace, OfAnOpenFileStaysTaken) {
  WriteFile(Mnt("open"), "content");
  const UniqueFd fd(::open(Mnt("open").c_str(), O_RDWR));
  ASSERT_EQ(::unlink(Mnt("open").c_str()), 0);
  char text[8] = {};
  EXPECT_EQ(::pread(fd.get(), text, 7, 0), 7);
  EXPECT_STREQ(text, "content");
  EXPECT_EQ(::pwrite(fd.get(), "C", 1, 0), 1);
  EXPECT_EQ(::ftruncate(fd.get(), 3), 0);
  struct stat st {};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(st.st_size, 3);
  EXPECT_EQ(st.st_nlink, 0U);
  const UniqueFd again(::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY));
  EXPECT_TRUE(again) << std::strerror(errno);
}

TEST_F(FreedSpace, OfAMappedFileStaysTaken) {
  WriteFile(Mnt("mapped"), std::string(8192, 'm'));
  void* map = MAP_FAILED;
  {
    const UniqueFd fd(::open(Mnt("mapped").c_str(), O_RDWR));
    map = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(map, MAP_FAILED);
  }
  ASSERT_EQ(::unlink(Mnt("mapped").c_str()), 0);
  Fill(Mnt("fill"));
  EXPECT_EQ(std::string(static_cast<char*>(map), 8192), std::string(8192, 'm'));
  std::memset(map, 'n', 8192);
  ::munmap(map, 8192);
}

// The kernel does not tell of a descriptor that was opened with O_PATH.
TEST_F(FreedSpace, APathDescriptorShowsTheLastAttributes) {
  WriteFile(Mnt("file"), std::string(2 << 20, 'x'));
  const UniqueFd fd(::open(Mnt("file").c_str(), O_PATH));
  WaitForHandles(0);
  ASSERT_EQ(::unlink(Mnt("file").c_str()), 0);
  struct stat st {};
  ASSERT_EQ(::fstat(fd.get(), &st), 0) << std::strerror(errno);
  EXPECT_EQ(st.st_size, 2 << 20);
  EXPECT_EQ(st.st_nlink, 0U);
  EXPECT_EQ(Errno(::open(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), O_RDONLY)), ESTALE);
}

// The inode of a temporary file is used again. The new file must not be taken for the old one.
TEST_F(FreedSpace, OfATemporaryFileGoesToAnotherFile) {
  UniqueFd temporary(::open(Mnt().c_str(), O_TMPFILE | O_RDWR, 0600));
  ASSERT_TRUE(temporary) << std::strerror(errno);
  const std::string content(2 << 20, 't');
  ASSERT_EQ(::write(temporary.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
  const UniqueFd path(::open(("/proc/self/fd/" + std::to_string(temporary.get())).c_str(), O_PATH));
  ASSERT_TRUE(path);
  temporary.Reset();
  ::usleep(200'000);
  const UniqueFd other(::open(Mnt("other").c_str(), O_CREAT | O_RDWR, 0600));
  ASSERT_EQ(::write(other.get(), "x", 1), 1);
  ASSERT_EQ(::unlink(Mnt("other").c_str()), 0);
  struct stat st {};
  ASSERT_EQ(::fstat(other.get(), &st), 0);
  EXPECT_EQ(st.st_size, 1);
  ASSERT_EQ(::fstat(path.get(), &st), 0);
  EXPECT_EQ(st.st_size, 2 << 20);
}

TEST_F(FreedSpace, AnOpenFifoLivesOnWithoutAName) {
  ASSERT_EQ(::mkfifo(Mnt("fifo").c_str(), 0600), 0);
  const UniqueFd fd(::open(Mnt("fifo").c_str(), O_RDWR));
  ASSERT_EQ(::unlink(Mnt("fifo").c_str()), 0);
  EXPECT_EQ(::fchmod(fd.get(), 0640), 0) << std::strerror(errno);
  struct stat st {};
  ASSERT_EQ(::fstat(fd.get(), &st), 0) << std::strerror(errno);
  EXPECT_EQ(st.st_mode & 07777, 0640U);
}

}  // namespace
}  // namespace tierfs::test
