// The small mutex and the small name; every known file has one of each.
#include <gtest/gtest.h>

#include <mutex>
#include <thread>
#include <vector>

#include "fs/tree/small_mutex.h"
#include "fs/tree/small_name.h"

namespace tierfs {
namespace {

TEST(SmallMutex, LetsOneThreadInAtATimeAndForgetsNone) {
  SmallMutex mutex;
  std::uint64_t count = 0;
  bool inside = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20'000; ++i) {
        const std::lock_guard lock(mutex);
        EXPECT_FALSE(inside);
        inside = true;
        ++count;
        if (i % 1000 == t) std::this_thread::yield();
        inside = false;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count, 160'000U);
  EXPECT_EQ(sizeof mutex, 4U);
}

TEST(SmallMutex, AWaiterSleepsUntilTheUnlock) {
  SmallMutex mutex;
  std::unique_lock lock(mutex);
  EXPECT_FALSE(mutex.try_lock());
  std::atomic<bool> got{false};
  std::thread waiter([&] {
    const std::lock_guard mine(mutex);
    got = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_FALSE(got);
  lock.unlock();
  waiter.join();
  EXPECT_TRUE(got);
  const bool free = mutex.try_lock();
  EXPECT_TRUE(free);
  if (free) mutex.unlock();
}

TEST(SmallName, HoldsTheBytesOfAName) {
  SmallName name;
  EXPECT_TRUE(name == "");
  name = "caf\xE9 \n";
  EXPECT_TRUE(name == "caf\xE9 \n");
  EXPECT_EQ(std::string(name), "caf\xE9 \n");
  name = std::string(255, 'x');
  EXPECT_EQ(std::string_view(name).size(), 255U);
  name = std::string_view(name).substr(250);
  EXPECT_TRUE(name == "xxxxx") << "a name can be assigned a part of itself";
  name.clear();
  EXPECT_STREQ(name.c_str(), "");
}

}  // namespace
}  // namespace tierfs
