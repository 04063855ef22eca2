// Files move between tiers while they are in use. Their users see them in the same place, and every
// write is kept.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

constexpr int kFiles = 12;
constexpr int kMostRounds = 20;
constexpr auto kMovingTime = std::chrono::seconds(5);

enum class Disks { kOne, kSeveral };

class Moving : public OverlayTest, public ::testing::WithParamInterface<Disks> {
 protected:
  void SetUp() override {
    if (GetParam() == Disks::kSeveral) UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
    SetPolicy("3 d/\n");
    // Without kernel caches, every lookup reaches the daemon.
    AddToConfig("cache_timeout = 0");
    lower_ = AddLower("lower");
    MakeDirs(lower_ + "/d/sub");
    for (int i = 0; i < kFiles; ++i) WriteFile(lower_ + "/d/sub/" + Name(i), "lower");
    ASSERT_TRUE(Mount()) << Refusal();
    for (int i = 0; i < kFiles; ++i) WriteFile(Mnt("d/sub/" + Name(i)), "tier");
    WriteFile(Base("there.tiers"), "2 d/\n");
    WriteFile(Base("back.tiers"), "3 d/\n");
  }
  static std::string Name(int i) { return "file" + std::to_string(i); }
  // Moves all files to tier 2 and back while another thread calls `use` repeatedly.
  void WhileTheyMove(const std::function<void()>& use) {
    std::atomic<bool> done{false};
    std::thread user([&] {
      while (!done && !HasFailure()) use();
    });
    const auto end = std::chrono::steady_clock::now() + kMovingTime;
    for (int round = 0; (round == 0 || (round < kMostRounds && std::chrono::steady_clock::now() < end)) && !HasFailure(); ++round) {
      for (const char* policy : {"there.tiers", "back.tiers"}) {
        const Ran ran = Execute({TIERCTL_BINARY, "retier", "--policy", Base(policy), ConfigFile()});
        // 1: some files are open. They move when they are closed.
        EXPECT_TRUE(ran.code == 0 || (ran.code == 1 && GetParam() == Disks::kSeveral)) << ran.out << ran.err;
      }
    }
    done = true;
    user.join();
    Settled();
    EXPECT_EQ(TreesWith("d/sub/" + Name(0)), std::set<int>{3});
  }

 private:
  std::string lower_;
};

TEST_P(Moving, ANameIsNeverAbsentAndNeverShowsAHiddenFile) {
  WhileTheyMove([&] {
    for (int i = 0; i < kFiles; ++i) {
      const std::string path = Mnt("d/sub/" + Name(i));
      struct stat st {};
      EXPECT_EQ(Errno(::stat(path.c_str(), &st)), 0) << path;
      const UniqueFd fd(::open(path.c_str(), O_RDONLY));
      EXPECT_TRUE(fd) << path << ": " << std::strerror(errno);
      char text[8] = {};
      EXPECT_EQ(::read(fd.get(), text, sizeof text), 4) << path;
      EXPECT_STREQ(text, "tier");
      EXPECT_EQ(Xattr(path, "user.tierfs.class").size(), 1U) << path << ": " << std::strerror(errno);
    }
  });
}

TEST_P(Moving, AListingMissesNoFile) {
  WhileTheyMove([&] { EXPECT_EQ(Names(Mnt("d/sub")).size(), std::size_t{kFiles}); });
}

TEST_P(Moving, TheTimesOfADirectoryDoNotFlicker) {
  for (const char* path : {"d/sub", "d"}) {
    const timespec times[2] = {{1000, 0}, {2000, 5}};
    ASSERT_EQ(::utimensat(AT_FDCWD, Mnt(path).c_str(), times, 0), 0);
  }
  WhileTheyMove([&] {
    for (const char* path : {"d/sub", "d"}) EXPECT_EQ(Stat(Mnt(path)).st_mtim.tv_sec, 2000) << path;
  });
  for (const char* path : {"d/sub", "d"}) EXPECT_EQ(Stat(Mnt(path)).st_mtim.tv_nsec, 5) << path;
}

// Files are opened, written, renamed and closed all the time. No write is lost and no call fails.
TEST_P(Moving, WritesAreKept) {
  std::map<std::string, std::string> written;
  int turn = 0;
  WhileTheyMove([&] {
    const std::string name = Name(++turn % kFiles);
    const std::string path = Mnt("d/sub/" + name);
    const std::string line = "line " + std::to_string(turn) + "\n";
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_APPEND));
    ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
    ASSERT_EQ(::write(fd.get(), line.data(), line.size()), static_cast<ssize_t>(line.size())) << std::strerror(errno);
    written[name] += line;
    if (turn % 3 != 0) return;
    ASSERT_EQ(::rename(path.c_str(), (path + ".new").c_str()), 0) << std::strerror(errno);
    ASSERT_EQ(::write(fd.get(), "r", 1), 1) << std::strerror(errno);
    written[name] += "r";
    ASSERT_EQ(::rename((path + ".new").c_str(), path.c_str()), 0) << std::strerror(errno);
  });
  EXPECT_GT(turn, 0);
  for (const auto& [name, text] : written) EXPECT_EQ(ReadFile(Mnt("d/sub/" + name)), "tier" + text) << name;
}

// The truncation and the write of a shell's ">" are two calls. A copy may begin between them.
TEST_P(Moving, AWriteAfterATruncationIsKept) {
  int turn = 0;
  WhileTheyMove([&] {
    const std::string path = Mnt("d/sub/" + Name(++turn % 2));
    const std::string text = "turn " + std::to_string(turn);
    WriteFile(path, text);
    for (int i = 0; i < 5; ++i) ASSERT_EQ(ReadFile(path), text);
  });
}

TEST_P(Moving, AttributesAreKept) {
  int turn = 0;
  WhileTheyMove([&] {
    const std::string path = Mnt("d/sub/" + Name(++turn % kFiles));
    const std::string value = std::to_string(turn);
    const auto mode = static_cast<mode_t>(0600 | (turn & 077));
    ASSERT_EQ(::chmod(path.c_str(), mode), 0) << std::strerror(errno);
    ASSERT_EQ(::setxattr(path.c_str(), "user.turn", value.data(), value.size(), 0), 0) << std::strerror(errno);
    EXPECT_EQ(Stat(path).st_mode & 07777, mode);
    EXPECT_EQ(Xattr(path, "user.turn"), value);
  });
}

TEST_P(Moving, AFileThatIsLockedOrMappedStaysAndKeepsBoth) {
  const std::string path = Mnt("d/sub/" + Name(0));
  const UniqueFd fd(::open(path.c_str(), O_RDWR));
  ASSERT_EQ(::flock(fd.get(), LOCK_EX), 0);
  struct flock range {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_len = 2;
  ASSERT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &range), 0);
  char* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  ASSERT_EQ(::rename(path.c_str(), Mnt("elsewhere").c_str()), 0) << std::strerror(errno);
  for (const char* policy : {"there.tiers", "back.tiers"}) {
    (void)Execute({TIERCTL_BINARY, "retier", "--policy", Base(policy), ConfigFile()});
    const UniqueFd other(::open(Mnt("elsewhere").c_str(), O_RDWR));
    ASSERT_TRUE(other) << std::strerror(errno);
    EXPECT_EQ(Errno(::flock(other.get(), LOCK_EX | LOCK_NB)), EWOULDBLOCK);
    struct flock wanted = range;
    EXPECT_EQ(Errno(::fcntl(other.get(), F_OFD_SETLK, &wanted)), EAGAIN);
    map[0] = policy[0];
    EXPECT_EQ(ReadFile(Mnt("elsewhere")), std::string(1, policy[0]) + "ier");
  }
  map[1] = 'M';
  ::munmap(map, 4096);
  ASSERT_EQ(::ftruncate(fd.get(), 2), 0);
  EXPECT_EQ(ReadFile(Mnt("elsewhere")), "bM");
}

INSTANTIATE_TEST_SUITE_P(On, Moving, ::testing::Values(Disks::kOne, Disks::kSeveral),
                         [](const auto& disks) { return std::string(disks.param == Disks::kOne ? "one_disk" : "several_disks"); });

}  // namespace
}  // namespace tierfs::test
