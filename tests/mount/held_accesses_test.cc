// The accesses that the kernel's pre-access events hold, and those that they do not. The levels of
// a snapshot rest on these facts. No tierfs is mounted here.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <cstdlib>
#include <mutex>
#include <thread>

#include "fs/os/access_guard.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/mounts.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using Next = AccessGuard::Next;
constexpr std::size_t kPage = 4096;

// A directory on a file system of its own, its private mount, and a guard that notes each access.
class HeldAccesses : public OverlayTest, public ::testing::WithParamInterface<FileSystem> {
 protected:
  struct Seen {
    off_t offset;
    off_t length;
    bool may_write;
  };

  void SetUp() override {
    disk_ = MakeFileSystem(GetParam(), 400);
    WriteFile(disk_ + "/file", std::string(16 * kPage, 'o'));
    root_ = *OpenDirectory(disk_, O_PATH);
    aside_ = *ClonePrivate(root_.get(), false);
    guard_ = *AccessGuard::Make(instant_, [this](const AccessGuard::Access& access) {
      const std::lock_guard lock(mutex_);
      seen_.push_back({access.offset, access.length, access.may_write});
      return next_;
    });
    const tierfs::Status watched = guard_->Watch(aside_.get());
    ASSERT_TRUE(watched) << std::strerror(watched.error().code) << ": this kernel holds no accesses (Linux 6.14 does)";
  }
  void TearDown() override {
    guard_.reset();
    OverlayTest::TearDown();
  }
  void Hold() {
    const Lock lock(instant_);
    ASSERT_TRUE(guard_->Hold());
  }
  [[nodiscard]] UniqueFd OpenAside(int flags) const { return *OpenBeneath(aside_.get(), "file", flags); }
  std::vector<Seen> Take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(seen_, {});
  }

  std::string disk_;
  UniqueFd root_;
  UniqueFd aside_;
  SharedMutex instant_;
  std::mutex mutex_;
  std::vector<Seen> seen_;
  Next next_ = Next::kRaise;
  std::unique_ptr<AccessGuard> guard_;
};

TEST_P(HeldAccesses, NoneBeforeTheInstantAndAllAfterIt) {
  const UniqueFd file = OpenAside(O_RDWR);
  char page[kPage] = {};
  ASSERT_EQ(::pwrite(file.get(), page, kPage, 0), ssize_t{kPage});
  EXPECT_TRUE(Take().empty());
  Hold();
  ASSERT_EQ(::pwrite(file.get(), page, kPage, 2 * kPage), ssize_t{kPage});
  auto seen = Take();
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(seen[0].offset, off_t{2 * kPage});
  EXPECT_GE(seen[0].length, off_t{kPage});
  EXPECT_TRUE(seen[0].may_write);
  const iovec part{page, kPage};
  ASSERT_EQ(::pwritev(file.get(), &part, 1, 0), ssize_t{kPage});
  EXPECT_EQ(Take().size(), 1U);
  guard_->Free();
  ASSERT_EQ(::pwrite(file.get(), page, kPage, 0), ssize_t{kPage});
  EXPECT_TRUE(Take().empty());
}

TEST_P(HeldAccesses, AlsoThoseThatAppendAndThoseThatBypassTheCache) {
  const UniqueFd appending = OpenAside(O_WRONLY | O_APPEND);
  const UniqueFd direct = OpenAside(O_RDWR | O_DIRECT);
  Hold();
  ASSERT_EQ(::write(appending.get(), "x", 1), 1);
  EXPECT_FALSE(Take().empty());
  void* buffer = nullptr;
  ASSERT_EQ(::posix_memalign(&buffer, kPage, kPage), 0);
  std::memset(buffer, 'd', kPage);
  EXPECT_EQ(::pwrite(direct.get(), buffer, kPage, kPage), ssize_t{kPage});
  EXPECT_FALSE(Take().empty());
  std::free(buffer);
}

TEST_P(HeldAccesses, AReadIsToldFromAWrite) {
  const UniqueFd file = OpenAside(O_RDWR);
  Hold();
  char page[kPage];
  const iovec part{page, kPage};
  ASSERT_EQ(::pread(file.get(), page, kPage, 0), ssize_t{kPage});
  ASSERT_EQ(::read(file.get(), page, kPage), ssize_t{kPage});
  ASSERT_EQ(::readv(file.get(), &part, 1), ssize_t{kPage});
  int reads = 0;
  const auto seen = Take();
  for (const Seen& each : seen) reads += each.may_write ? 0 : 1;
  EXPECT_GE(seen.size(), 3U);
  // A thread that has not gone to sleep yet counts as one that may write.
  EXPECT_GE(reads, 1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(::pwrite(file.get(), page, kPage, 0), ssize_t{kPage});
  for (const Seen& each : Take()) EXPECT_TRUE(each.may_write);
}

// This is why a snapshot names mapped files. It also names files that splice(2) changed: here, that
// raises an event, but not when it comes through a mount's passthrough.
TEST_P(HeldAccesses, NotAStoreIntoAMapping) {
  const UniqueFd file = OpenAside(O_RDWR);
  auto* const mapping = static_cast<char*>(::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(mapping, MAP_FAILED);
  Hold();
  mapping[0] = 'm';
  EXPECT_TRUE(Take().empty());
  ::munmap(mapping, kPage);
}

TEST_P(HeldAccesses, NotThoseOfADescriptorThatWasOpenedElsewhere) {
  const UniqueFd plain(::open((disk_ + "/file").c_str(), O_RDWR | O_CLOEXEC));
  Hold();
  ASSERT_EQ(::pwrite(plain.get(), "x", 1, 0), 1);
  EXPECT_TRUE(Take().empty());
}

TEST_P(HeldAccesses, ReadersPassUntilAWriterComes) {
  const UniqueFd reader = OpenAside(O_RDONLY);
  next_ = Next::kPassIfNobodyWrites;
  Hold();
  char page[kPage];
  for (int i = 0; i < 10; ++i) ASSERT_EQ(::pread(reader.get(), page, kPage, 0), ssize_t{kPage});
  EXPECT_EQ(Take().size(), 1U);
  const UniqueFd writer = OpenAside(O_RDWR);
  ASSERT_TRUE(guard_->PassNoLonger(writer.get()));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(::pwrite(writer.get(), page, kPage, 0), ssize_t{kPage});
  EXPECT_EQ(Take().size(), 10U);
}

// Each writer's number is in the file once the call has returned; the handler must have seen it.
TEST_P(HeldAccesses, NoWriteThatFollowsTheInstantEscapes) {
  std::atomic<bool> stop{false};
  std::atomic<bool> held{false};
  std::atomic<std::size_t> after{0};
  std::vector<std::thread> writers;
  for (int number = 0; number < 4; ++number) {
    writers.emplace_back([&, file = OpenAside(O_RDWR)] {
      while (!stop) {
        const bool began_after = held;
        if (::pwrite(file.get(), "x", 1, 0) == 1 && began_after) ++after;
      }
    });
  }
  ::usleep(20'000);
  Hold();
  held = true;
  while (after < 1000) ::usleep(1000);
  stop = true;
  for (std::thread& writer : writers) writer.join();
  EXPECT_GE(Take().size(), after.load());
}

INSTANTIATE_TEST_SUITE_P(On, HeldAccesses, ::testing::Values(FileSystem::kExt4, FileSystem::kXfs, FileSystem::kBtrfs),
                         [](const auto& kind) {
                           return std::string(std::vector<const char*>{"ext4", "XFS", "btrfs"}[static_cast<std::size_t>(kind.param)]);
                         });

class NotHeldTest : public OverlayTest {};

TEST_F(NotHeldTest, OnAFileSystemInMemory) {
  const UniqueFd root = *OpenDirectory(MakeFileSystem(FileSystem::kTmpfs, 10), O_PATH);
  const UniqueFd aside = *ClonePrivate(root.get(), false);
  SharedMutex instant;
  const auto guard = AccessGuard::Make(instant, [](const AccessGuard::Access&) { return Next::kPass; });
  ASSERT_TRUE(guard);
  const tierfs::Status watched = (*guard)->Watch(aside.get());
  ASSERT_FALSE(watched);
  EXPECT_EQ(watched.error().code, EOPNOTSUPP);
}

}  // namespace
}  // namespace tierfs::test
