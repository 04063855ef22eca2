#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "fs/os/mutex.h"

namespace tierfs {

// Held shared by every operation that walks paths. Held exclusively while a directory moves,
// because every path beneath it then changes, and at the instant of a snapshot. A thread locks it
// once.
class CAPABILITY("mutex") Topology {
 public:
  Topology() = default;
  Topology(const Topology&) = delete;
  Topology& operator=(const Topology&) = delete;

  void lock_shared() ACQUIRE_SHARED() {
    if (closed_.load(std::memory_order_acquire)) AwaitOpening();
    mutex_.lock_shared();
  }
  void unlock_shared() RELEASE_SHARED() { mutex_.unlock_shared(); }
  void lock() ACQUIRE() {
    if (closed_.load(std::memory_order_acquire)) AwaitOpening();
    mutex_.lock();
  }
  void unlock() RELEASE() { mutex_.unlock(); }
  // Locks exclusively, ahead of all threads that come later, which wait. Gives up after `limit`.
  // One thread at a time.
  [[nodiscard]] bool TryCloseFor(std::chrono::milliseconds limit) TRY_ACQUIRE(true);
  // Ends what TryCloseFor began.
  void Open() RELEASE();

 private:
  void AwaitOpening();
  void OpenGate();

  std::shared_mutex mutex_;
  std::atomic<bool> closed_{false};
  std::mutex gate_;  // guards the waiting at the gate
  std::condition_variable opened_;
};

}  // namespace tierfs
