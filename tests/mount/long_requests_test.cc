// A long request does not delay others, although over io_uring one thread receives all requests of
// a core.
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "fs/control/control.h"
#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

void StayOnOneCore() {
  cpu_set_t core;
  CPU_ZERO(&core);
  CPU_SET(0, &core);
  EXPECT_EQ(::sched_setaffinity(0, sizeof core, &core), 0) << std::strerror(errno);
}

class LongRequests : public OverlayTest {};

// Freezes a disk: every write to it waits until the destructor runs.
class Frozen {
 public:
  explicit Frozen(const std::string& disk) : disk_(::open(disk.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    EXPECT_EQ(::ioctl(disk_.get(), FIFREEZE, 0), 0) << std::strerror(errno);
  }
  ~Frozen() { EXPECT_EQ(::ioctl(disk_.get(), FITHAW, 0), 0) << std::strerror(errno); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  UniqueFd disk_;
};

TEST_F(LongRequests, ACopyUpDoesNotBlockOtherRequestsOfTheSameCore) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 64);
  UseTier(2, disk + "/tree");
  WriteFile(AddLower("lower") + "/file", std::string(1 << 20, 'b'));
  ASSERT_TRUE(Mount()) << Refusal();
  const auto opens = [this] {
    const auto status = AskDaemon(Base("state"), {{"verb", "status"}});
    return status ? status->at("requests").value("open", 0) : -1;
  };
  const int before = opens();
  std::atomic<bool> copied{false};
  std::thread writer;
  std::thread other;
  {
    const Frozen frozen(disk);  // the copy cannot end before the disk is thawed
    writer = std::thread([&] {
      StayOnOneCore();
      const UniqueFd fd(::open(Mnt("file").c_str(), O_WRONLY));
      EXPECT_TRUE(fd) << std::strerror(errno);
      copied = true;
    });
    int begun = before;
    for (int i = 0; i < 1000 && begun == before; ++i) {
      ::usleep(10'000);
      begun = opens();
    }
    EXPECT_EQ(begun, before + 1);
    std::atomic<bool> answered{false};
    other = std::thread([&] {
      StayOnOneCore();
      // Each lookup is for a name that the kernel does not know yet.
      for (int i = 0; i < 10; ++i) EXPECT_FALSE(Exists(Mnt("absent" + std::to_string(i))));
      answered = true;
    });
    for (int i = 0; i < 1000 && !answered; ++i) ::usleep(10'000);
    EXPECT_TRUE(answered) << "the others wait for the copy";
    EXPECT_FALSE(copied);
  }
  other.join();
  writer.join();
  EXPECT_TRUE(copied);
  EXPECT_EQ(TreesWith("file"), std::set<int>{2});
}

TEST_F(LongRequests, ManyAtOnceAreAllAnswered) {
  ASSERT_TRUE(Mount()) << Refusal();
  std::vector<std::thread> threads;
  for (int t = 0; t < 40; ++t) {
    threads.emplace_back([this, t] {
      const std::string name = Mnt("f" + std::to_string(t));
      for (int i = 0; i < 20; ++i) {
        const UniqueFd fd(::open(name.c_str(), O_WRONLY | O_CREAT, 0644));
        ASSERT_TRUE(fd);
        ASSERT_EQ(::pwrite(fd.get(), &i, sizeof i, 0), static_cast<ssize_t>(sizeof i));
        ASSERT_EQ(::fsync(fd.get()), 0);
        ASSERT_EQ(::ftruncate(fd.get(), i), 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 40; ++t) EXPECT_EQ(Stat(Mnt("f" + std::to_string(t))).st_size, 19);
}

TEST_F(LongRequests, ASignalEndsTheDaemonDespiteThem) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (int t = 0; t < 8; ++t) WriteFile(Mnt("f" + std::to_string(t)), "x");
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      const UniqueFd fd(::open(Mnt("f" + std::to_string(t)).c_str(), O_WRONLY));
      while (!stop && ::fsync(fd.get()) == 0) {
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const int daemon = DaemonPid();
  ::kill(daemon, SIGTERM);
  for (int i = 0; i < 6000 && ::kill(daemon, 0) == 0; ++i) ::usleep(10'000);
  EXPECT_NE(::kill(daemon, 0), 0) << "the daemon did not end";
  stop = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt()).size(), 8U);
}

}  // namespace
}  // namespace tierfs::test
