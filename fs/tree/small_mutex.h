// A mutex of four bytes.
#pragma once

#include <atomic>
#include <cassert>

#include "fs/os/thread_annotations.h"

namespace tierfs {

// std::mutex takes forty, and there is one for each of a million files. Works with lock_guard and
// unique_lock; a waiter sleeps in the kernel (futex(2), by std::atomic's wait). The algorithm is
// the second of Ulrich Drepper's "Futexes Are Tricky".
class CAPABILITY("mutex") SmallMutex {
 public:
  SmallMutex() = default;
  SmallMutex(const SmallMutex&) = delete;
  SmallMutex& operator=(const SmallMutex&) = delete;

  bool try_lock() noexcept TRY_ACQUIRE(true) {
    int free = kFree;
    return state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void lock() noexcept ACQUIRE() NO_THREAD_SAFETY_ANALYSIS {  // its own body is the lock
    if (try_lock()) return;
    // Whoever waits leaves the mark that somebody does, so that unlock knows to wake one.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) state_.wait(kAwaited, std::memory_order_relaxed);
  }
  void unlock() noexcept RELEASE() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) state_.notify_one();
  }

  // For code that the analysis cannot follow: some thread holds it, by the caller's word this one.
  void AssertHeld() const ASSERT_HELD(this) { assert(state_.load(std::memory_order_relaxed) != kFree); }

 private:
  static constexpr int kFree = 0;
  static constexpr int kHeld = 1;
  static constexpr int kAwaited = 2;
  std::atomic<int> state_{kFree};
};

}  // namespace tierfs
