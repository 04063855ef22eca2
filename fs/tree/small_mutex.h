// A mutex of four bytes.
#pragma once

#include <atomic>

namespace tierfs {

// std::mutex takes forty, and there is one for each of a million files. Works with lock_guard and unique_lock; a waiter sleeps in the
// kernel (futex(2), by std::atomic's wait). The algorithm is the second of Ulrich Drepper's "Futexes Are Tricky".
class SmallMutex {
 public:
  SmallMutex() = default;
  SmallMutex(const SmallMutex&) = delete;
  SmallMutex& operator=(const SmallMutex&) = delete;

  bool try_lock() noexcept {
    int free = kFree;
    return state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void lock() noexcept {
    if (try_lock()) return;
    // Whoever waits leaves the mark that somebody does, so that unlock knows to wake one.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) state_.wait(kAwaited, std::memory_order_relaxed);
  }
  void unlock() noexcept {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) state_.notify_one();
  }

 private:
  static constexpr int kFree = 0;
  static constexpr int kHeld = 1;
  static constexpr int kAwaited = 2;
  std::atomic<int> state_{kFree};
};

}  // namespace tierfs
