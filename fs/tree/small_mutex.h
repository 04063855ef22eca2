// A mutex of four bytes.
#pragma once

#include <atomic>
#include <cassert>

#include "fs/os/thread_annotations.h"

namespace tierfs {

// std::mutex takes forty bytes, and each of a million files has a mutex. Works with lock_guard and
// unique_lock. A waiter sleeps in the kernel (futex(2), by std::atomic::wait). The algorithm is the
// second one of Ulrich Drepper's "Futexes Are Tricky".
class CAPABILITY("mutex") SmallMutex {
 public:
  SmallMutex() = default;
  SmallMutex(const SmallMutex&) = delete;
  SmallMutex& operator=(const SmallMutex&) = delete;

  bool try_lock() noexcept TRY_ACQUIRE(true) {
    int free = kFree;
    return state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire, std::memory_order_relaxed);
  }
  void lock() noexcept ACQUIRE() NO_THREAD_SAFETY_ANALYSIS {  // this body is the lock
    if (try_lock()) return;
    // A waiter leaves kAwaited behind, so that unlock() knows that it has to wake a thread.
    while (state_.exchange(kAwaited, std::memory_order_acquire) != kFree) state_.wait(kAwaited, std::memory_order_relaxed);
  }
  void unlock() noexcept RELEASE() {
    if (state_.exchange(kFree, std::memory_order_release) == kAwaited) state_.notify_one();
  }

  // For code that the analysis cannot follow. Checks that some thread holds the mutex; the caller
  // asserts that it is this one.
  void AssertHeld() const ASSERT_HELD(this) { assert(state_.load(std::memory_order_relaxed) != kFree); }

 private:
  static constexpr int kFree = 0;
  static constexpr int kHeld = 1;
  static constexpr int kAwaited = 2;
  std::atomic<int> state_{kFree};
};

}  // namespace tierfs
