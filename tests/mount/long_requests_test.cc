// Who takes long does not hold up others, though over io_uring one thread gets all requests of a core.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

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

TEST_F(LongRequests, ACopyUpLetsOthersOfTheSameCoreGoOn) {
  constexpr off_t kSize = off_t{128} << 20;
  const std::string lower = AddLower("lower");
  {
    const UniqueFd big(::open((lower + "/big").c_str(), O_WRONLY | O_CREAT, 0644));
    const std::string chunk(1 << 20, 'b');
    for (off_t at = 0; at < kSize; at += static_cast<off_t>(chunk.size())) {
      ASSERT_EQ(::pwrite(big.get(), chunk.data(), chunk.size(), at), static_cast<ssize_t>(chunk.size()));
    }
  }
  ASSERT_TRUE(Mount()) << Refusal();
  std::atomic<bool> begun{false};
  std::atomic<bool> copied{false};
  std::thread writer([&] {
    StayOnOneCore();
    begun = true;
    const UniqueFd fd(::open(Mnt("big").c_str(), O_WRONLY));
    EXPECT_TRUE(fd) << std::strerror(errno);
    copied = true;
  });
  int others = 0;
  std::thread other([&] {
    StayOnOneCore();
    while (!begun) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    // Each asks for a name that the kernel does not know yet.
    for (; !copied && others < 10; ++others) EXPECT_FALSE(Exists(Mnt("absent" + std::to_string(others))));
  });
  other.join();
  EXPECT_FALSE(copied) << "all others waited for the copy";
  EXPECT_EQ(others, 10);
  writer.join();
  EXPECT_EQ(TreesWith("big"), std::set<int>{2});
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

TEST_F(LongRequests, ASignalEndsTheDaemonBesideThem) {
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
  for (int i = 0; i < 1000 && ::kill(daemon, 0) == 0; ++i) ::usleep(10000);
  EXPECT_NE(::kill(daemon, 0), 0) << "the daemon did not end";
  stop = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt()).size(), 8U);
}

}  // namespace
}  // namespace tierfs::test
