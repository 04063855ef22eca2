// The queue between the tree's hints and the feed's thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "fs/catalog/entries.h"
#include "fs/os/mutex.h"
#include "fs/tier/feed.h"

namespace tierfs {

// A path to look at. With no tier (kNoLayer) it is an inode whose names must be looked at.
struct Hint {
  LayerIndex tier;
  Feed::Change change;
  std::string path;
  std::uint64_t inode = 0;
  NameSearch names = NameSearch::kOfSeveral;  // where to look for the names
  // Set by the feed for a second look. There is no third.
  bool again = false;
};

// Owns the waiting hints. Thread-safe and bounded: when it is full, hints are dropped and
// Overflowed reports it; everything must then be looked at. Adding a hint never waits for the
// reader's work and wakes the reader only now and then.
class HintQueue {
 public:
  static constexpr std::size_t kCapacity = 65536;
  static constexpr std::size_t kWakeAt = 4096;

  void Add(Hint hint) {
    const Lock lock(mutex_);
    if (hints_.size() >= kCapacity) {
      overflowed_ = true;
      return;
    }
    // Creating, writing and closing a file gives several hints in a row.
    if (!hints_.empty() && hints_.back().change == hint.change && hints_.back().tier == hint.tier && hints_.back().inode == hint.inode &&
        hints_.back().names == hint.names && hints_.back().again == hint.again && hints_.back().path == hint.path)
      return;
    hints_.push_back(std::move(hint));
    if (hints_.size() % kWakeAt == 0) wake_.notify_one();
  }

  // Waits until there are many hints, Wake is called, or `patience` has passed.
  void Wait(std::chrono::milliseconds patience) {
    Lock lock(mutex_);
    if (!woken_ && hints_.size() < kWakeAt) wake_.wait_for(lock, patience);
    woken_ = false;
  }
  [[nodiscard]] std::vector<Hint> TakeAll() {
    const Lock lock(mutex_);
    return std::exchange(hints_, {});
  }
  void Wake() {
    const Lock lock(mutex_);
    woken_ = true;
    wake_.notify_one();
  }
  // Whether hints were dropped since the last call.
  [[nodiscard]] bool Overflowed() {
    const Lock lock(mutex_);
    return std::exchange(overflowed_, false);
  }
  [[nodiscard]] std::size_t size() const {
    const Lock lock(mutex_);
    return hints_.size();
  }

 private:
  mutable Mutex mutex_;
  Wakeup wake_;
  std::vector<Hint> hints_ GUARDED_BY(mutex_);
  bool overflowed_ GUARDED_BY(mutex_) = false;
  bool woken_ GUARDED_BY(mutex_) = false;
};

}  // namespace tierfs
