// The first write to a lower file: the data copied, the method, and the number of copies.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>

#include <atomic>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/image.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

class CopyUp : public OverlayTest {
 protected:
  void SetUp() override { SetPolicy("1 /etc/\n3 /var/\n4 /usr/\n"); }
  void ExpectInNoTier() {
    for (int tier = 1; tier <= 4; ++tier) EXPECT_EQ(Names(Tier(tier)), std::set<std::string>{}) << tier;
  }
  static void OpenForWriting(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_WRONLY));
    EXPECT_TRUE(fd) << path << ": " << std::strerror(errno);
  }
};

class CopyUpOn : public CopyUp, public ::testing::WithParamInterface<FileSystem> {};

TEST_P(CopyUpOn, DataIsSharedUntilItIsWritten) {
  constexpr std::size_t kSize = 4 << 20;
  const std::string disk = MakeFileSystem(GetParam(), 320);
  for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk + "/tier" + std::to_string(tier));
  MakeDirs(disk + "/lower/etc");
  WriteFile(disk + "/lower/etc/big", std::string(kSize, 'b'));
  UseLower(disk + "/lower");
  ASSERT_TRUE(Mount()) << Refusal();
  OpenForWriting(Mnt("etc/big"));
  ASSERT_EQ(TreesWith("etc/big"), std::set<int>{1});
  EXPECT_TRUE(SharesBlocks(Tier(1, "etc/big")));
  const UniqueFd fd(::open(Mnt("etc/big").c_str(), O_WRONLY));
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 0), 1) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("etc/big")), "x" + std::string(kSize - 1, 'b'));
  EXPECT_EQ(ReadFile(disk + "/lower/etc/big"), std::string(kSize, 'b'));
}

INSTANTIATE_TEST_SUITE_P(Reflink, CopyUpOn, ::testing::Values(FileSystem::kXfs, FileSystem::kBtrfs),
                         [](const auto& kind) { return std::string(kind.param == FileSystem::kXfs ? "xfs" : "btrfs"); });

TEST_F(CopyUp, HolesStayHoles) {
  const std::string lower = AddLower("lower");
  MakeDirs(Base("image"));
  // One layer's file system reports its holes, the other's does not.
  UseLower(MakeSquashfs([&] {
    FillImage(Base("image"));
    return Base("image");
  }()));
  MakeDirs(lower + "/var");
  WriteFile(lower + "/var/direct", "head");
  ASSERT_EQ(::truncate((lower + "/var/direct").c_str(), 8 << 20), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* path : {"var/direct", "var/sparse"}) {
    const std::string before = ReadFile(Mnt(path));
    OpenForWriting(Mnt(path));
    EXPECT_EQ(TreesWith(path), std::set<int>{3});
    EXPECT_EQ(ReadFile(Mnt(path)), before) << path;
    EXPECT_LE(Stat(Tier(3, path)).st_blocks, 32) << path;
    EXPECT_EQ(Stat(Mnt(path)).st_size, static_cast<off_t>(before.size())) << path;
  }
}

TEST_F(CopyUp, CapabilitiesComeAlongAndAWriteClearsThem) {
  const std::string lower = AddLower("lower");
  FillImage(lower);
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string capability = Xattr(lower + "/usr/bin/net", "security.capability");
  ASSERT_NE(capability, "");
  ASSERT_EQ(::chmod(Mnt("usr/bin/net").c_str(), 0700), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("usr/bin/net"), std::set<int>{4});
  EXPECT_EQ(Xattr(Mnt("usr/bin/net"), "security.capability"), capability);
  EXPECT_EQ(Xattr(Tier(4, "usr/bin/net"), "security.capability"), capability);
  const UniqueFd fd(::open(Mnt("usr/bin/net").c_str(), O_WRONLY));
  EXPECT_EQ(Xattr(Mnt("usr/bin/net"), "security.capability"), capability) << "nothing is written yet";
  ASSERT_EQ(::write(fd.get(), "x", 1), 1);
  EXPECT_EQ(Xattr(Mnt("usr/bin/net"), "security.capability"), "");
  EXPECT_EQ(Xattr(lower + "/usr/bin/net", "security.capability"), capability);
}

TEST_F(CopyUp, ParentsAreClonedAndKeepTheirDates) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/etc/a/b");
  WriteFile(lower + "/etc/a/b/file", "x");
  ASSERT_EQ(::chown((lower + "/etc/a").c_str(), 5, 6), 0);
  ASSERT_EQ(::chmod((lower + "/etc/a").c_str(), 02751), 0);
  ASSERT_EQ(::setxattr((lower + "/etc/a/b").c_str(), "user.note", "n", 1, 0), 0);
  ASSERT_EQ(Shell("setfacl -d -m u:7:rwx " + lower + "/etc/a/b && setfacl -m g:9:rx " + lower + "/etc/a").code, 0);
  ASSERT_EQ(Shell("touch -d '2001-02-03 04:05:06.789' " + lower + "/etc/a/b " + lower + "/etc/a " + lower + "/etc").code, 0);
  ASSERT_TRUE(Mount()) << Refusal();
  const Snapshot before = TakeSnapshot(Mnt());
  ASSERT_EQ(::chmod(Mnt("etc/a/b/file").c_str(), 0600), 0);
  ASSERT_EQ(::chmod(Mnt("etc/a/b/file").c_str(), 0644), 0);
  EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "");
  const Snapshot tree = TakeSnapshot(Tier(1));
  for (const char* path : {"etc", "etc/a", "etc/a/b", "etc/a/b/file"}) EXPECT_EQ(Difference(before.at(path), tree.at(path)), "") << path;
}

TEST_F(CopyUp, AnOperationWithoutAChangeCopiesNothing) {
  const std::string lower = AddLower("lower");
  FillImage(lower);
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* path : {"etc/conf", "etc"}) {
    const struct stat st = Stat(Mnt(path));
    const timespec times[2] = {{0, UTIME_OMIT}, st.st_mtim};
    const std::string note = Xattr(Mnt(path), "user.note");
    EXPECT_EQ(::chmod(Mnt(path).c_str(), st.st_mode & 07777), 0);
    EXPECT_EQ(::chown(Mnt(path).c_str(), st.st_uid, static_cast<gid_t>(-1)), 0);
    EXPECT_EQ(::utimensat(AT_FDCWD, Mnt(path).c_str(), times, 0), 0);
    EXPECT_EQ(::setxattr(Mnt(path).c_str(), "user.note", note.data(), note.size(), 0), 0);
    EXPECT_EQ(Errno(::setxattr(Mnt(path).c_str(), "user.note", "x", 1, XATTR_CREATE)), EEXIST);
    EXPECT_EQ(Errno(::setxattr(Mnt(path).c_str(), "user.none", "x", 1, XATTR_REPLACE)), ENODATA);
    EXPECT_EQ(Errno(::removexattr(Mnt(path).c_str(), "user.none")), ENODATA);
  }
  EXPECT_EQ(::truncate(Mnt("etc/conf").c_str(), Stat(Mnt("etc/conf")).st_size), 0);
  EXPECT_EQ(Errno(::mkdir(Mnt("etc").c_str(), 0755)), EEXIST);
  EXPECT_EQ(Errno(::rmdir(Mnt("etc").c_str())), ENOTEMPTY);
  EXPECT_EQ(::rename(Mnt("etc/conf").c_str(), Mnt("etc/conf").c_str()), 0);
  EXPECT_FALSE(As(65534, 65534, {}, [&] { return ::chmod(Mnt("etc/conf").c_str(), 0777) == 0; }));
  EXPECT_FALSE(As(65534, 65534, {}, [&] { return ::open(Mnt("etc/conf").c_str(), O_RDWR) >= 0; }));
  ExpectInNoTier();
}

TEST_F(CopyUp, ATruncatingOpenNeedsNoSpaceForTheOldData) {
  UseTier(1, MakeFileSystem(FileSystem::kTmpfs, 4) + "/tree");
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/etc");
  for (const char* name : {"one", "two", "three"}) WriteFile(lower + "/etc/" + name, std::string(8 << 20, 'x'));
  ASSERT_EQ(::chmod((lower + "/etc/one").c_str(), 0640), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("etc/one"), "new");
  EXPECT_EQ(ReadFile(Mnt("etc/one")), "new");
  EXPECT_EQ(Stat(Mnt("etc/one")).st_mode & 07777, 0640U);
  ASSERT_EQ(::truncate(Mnt("etc/two").c_str(), 3), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("etc/two")), "xxx");
  EXPECT_EQ(Errno(::open(Mnt("etc/three").c_str(), O_RDWR)), ENOSPC);
  EXPECT_EQ(TreesWith("etc/three"), std::set<int>{});
  ExpectNoWorkFiles();
}

// A reader, a mapping and a lock from before the copy-up go on with the file that is written, as on
// any file system.
TEST_F(CopyUp, AnEarlierReaderFollowsTheCopy) {
  WriteFile(AddLower("lower") + "/file", "old\n");
  ASSERT_TRUE(Mount()) << Refusal();
  const UniqueFd reader(::open(Mnt("file").c_str(), O_RDONLY));
  char text[16] = {};
  ASSERT_EQ(::read(reader.get(), text, sizeof text), 4);
  void* map = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, reader.get(), 0);
  ASSERT_NE(map, MAP_FAILED);
  EXPECT_EQ(std::string(static_cast<const char*>(map), 3), "old");
  ASSERT_EQ(::flock(reader.get(), LOCK_SH), 0);
  ASSERT_EQ(Shell("echo more >>" + Mnt("file")).code, 0);
  ASSERT_EQ(::read(reader.get(), text, sizeof text), 5) << "the reader sees what is appended";
  EXPECT_EQ(std::string(text, 5), "more\n");
  const UniqueFd writer(::open(Mnt("file").c_str(), O_RDWR));
  ASSERT_TRUE(writer) << std::strerror(errno);
  ASSERT_EQ(::pwrite(writer.get(), "new", 3, 0), 3) << std::strerror(errno);
  EXPECT_EQ(std::string(static_cast<const char*>(map), 3), "new");
  EXPECT_EQ(Errno(::flock(writer.get(), LOCK_EX | LOCK_NB)), EWOULDBLOCK);
  EXPECT_EQ(ReadFile(Mnt("file")), "new\nmore\n");
  struct stat by_reader {};
  struct stat by_writer {};
  ASSERT_EQ(::fstat(reader.get(), &by_reader), 0) << std::strerror(errno);
  ASSERT_EQ(::fstat(writer.get(), &by_writer), 0);
  EXPECT_EQ(by_reader.st_ino, by_writer.st_ino) << "both descriptors are on one file";
  EXPECT_EQ(by_reader.st_size, by_writer.st_size);
  ::munmap(map, 4096);
}

// The kernel keeps the pages of a lower file. Writes that go past them must not leave old pages for
// a later reader.
TEST_F(CopyUp, PagesOfTheLowerFileDoNotOutliveIt) {
  WriteFile(AddLower("lower") + "/file", std::string(8192, 'o'));
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("file")), std::string(8192, 'o'));
  for (int round = 0; round < 3; ++round) {
    const std::string content(8192, static_cast<char>('a' + round));
    {
      const UniqueFd writer(::open(Mnt("file").c_str(), O_RDWR));
      ASSERT_EQ(::pwrite(writer.get(), content.data(), content.size(), 0), 8192);
      const timespec same[2] = {{0, UTIME_OMIT}, {1'000'000'000, 0}};
      ASSERT_EQ(::futimens(writer.get(), same), 0);
    }
    EXPECT_EQ(ReadFile(Mnt("file")) == content, true) << round;
    EXPECT_EQ(ReadFile(Tier(2, "file")) == content, true) << round;
  }
}

TEST_F(CopyUp, ManyWritersOfOneFileCopyItOnce) {
  WriteFile(AddLower("lower") + "/file", std::string(16 << 20, 'l'));
  ASSERT_TRUE(Mount()) << Refusal();
  const UniqueFd watch(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  ASSERT_GE(::inotify_add_watch(watch.get(), Base("state/work").c_str(), IN_CREATE), 0) << std::strerror(errno);
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i) {
    writers.emplace_back([&, i] {
      const UniqueFd fd(::open(Mnt("file").c_str(), O_RDWR));
      EXPECT_TRUE(fd) << std::strerror(errno);
      EXPECT_EQ(::pwrite(fd.get(), "N", 1, i), 1) << std::strerror(errno);
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(ReadFile(Mnt("file")), std::string(8, 'N') + std::string((16 << 20) - 8, 'l'));
  char events[8192];
  const ssize_t size = ::read(watch.get(), events, sizeof events);
  int copies = 0;
  for (ssize_t at = 0; at < size; ++copies) {
    at += static_cast<ssize_t>(sizeof(inotify_event) + reinterpret_cast<const inotify_event*>(events + at)->len);
  }
  EXPECT_EQ(copies, 1);
}

// Readers, mappings and writers run at once. There is no error, each byte is the old or the new
// one, and an open after a write shows the write.
TEST_F(CopyUp, ReadersAndWritersAtOnceSeeNoError) {
  constexpr std::size_t kSize = 512 << 10;
  constexpr int kFiles = 24;
  constexpr int kWrites = 16;
  const std::string lower = AddLower("lower");
  for (int i = 0; i < kFiles; ++i) WriteFile(lower + "/file" + std::to_string(i), std::string(kSize, 'o'));
  ASSERT_TRUE(Mount()) << Refusal();
  for (int file = 0; file < kFiles && !HasFailure(); ++file) {
    const std::string path = Mnt("file" + std::to_string(file));
    std::atomic<bool> done{false};
    std::atomic<int> written{0};
    const auto look = [&](const char* data, const std::string& who) {
      std::size_t seen = 0;
      for (std::size_t at = 0; at < kSize; ++at) {
        // Read once: a mapping changes meanwhile.
        const char byte = static_cast<const volatile char*>(data)[at];
        if (byte == 'N') {
          ++seen;
        } else {
          ASSERT_EQ(byte, 'o') << who << " of " << path << " at " << at;
        }
      }
      ASSERT_LE(seen, std::size_t{kWrites});
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        std::string text(kSize, '\0');
        do {
          const UniqueFd fd(::open(path.c_str(), O_RDONLY));
          ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
          ASSERT_EQ(::pread(fd.get(), text.data(), kSize, 0), static_cast<ssize_t>(kSize)) << path << ": " << std::strerror(errno);
          look(text.data(), "a reader");
        } while (!done);
      });
      threads.emplace_back([&] {
        do {
          const UniqueFd fd(::open(path.c_str(), O_RDONLY));
          ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
          void* map = ::mmap(nullptr, kSize, PROT_READ, MAP_SHARED, fd.get(), 0);
          ASSERT_NE(map, MAP_FAILED) << path << ": " << std::strerror(errno);
          look(static_cast<const char*>(map), "a mapping");
          ::munmap(map, kSize);
        } while (!done);
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < kWrites; ++i) {
        const UniqueFd fd(::open(path.c_str(), i % 2 == 0 ? O_RDWR : O_WRONLY));
        ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
        const off_t at = i * 30011;
        if (i % 4 == 2) {
          void* map = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
          ASSERT_NE(map, MAP_FAILED) << path << ": " << std::strerror(errno);
          static_cast<char*>(map)[at] = 'N';
          ::munmap(map, kSize);
        } else {
          ASSERT_EQ(::pwrite(fd.get(), "N", 1, at), 1) << path << ": " << std::strerror(errno);
        }
        ++written;
        const UniqueFd after(::open(path.c_str(), O_RDONLY));
        ASSERT_TRUE(after) << path << ": " << std::strerror(errno);
        char byte = 0;
        ASSERT_EQ(::pread(after.get(), &byte, 1, at), 1) << path << ": " << std::strerror(errno);
        ASSERT_EQ(byte, 'N') << path << " write " << i;
      }
      done = true;
    });
    for (std::thread& thread : threads) {
      thread.join();
      if (HasFailure()) done = true;
    }
    EXPECT_EQ(written, kWrites) << path;
    const std::string text = ReadFile(path);
    EXPECT_EQ(std::count(text.begin(), text.end(), 'N'), kWrites) << path;
    EXPECT_EQ(TreesWith("file" + std::to_string(file)), std::set<int>{2});
  }
}

}  // namespace
}  // namespace tierfs::test
