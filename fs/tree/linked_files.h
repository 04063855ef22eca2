// Files that have a name in an untracked tier, and perhaps another in a tracked one.
#pragma once

#include <atomic>
#include <unordered_set>

#include "fs/os/mutex.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Owns the set of backing inodes that were seen with several names, one of them in an untracked
// tier. A change through such a name also changes the tracked tree. The feed must then be told the
// inode, because the other names are unknown. The set only grows, up to kLimit. At the limit every
// file counts as a member, and the feed looks for names that do not exist. While the set is empty,
// a lookup costs one atomic load. Thread-safe; the mutex is a leaf.
class LinkedFiles {
 public:
  static constexpr std::size_t kLimit = 100'000;

  void Add(const BackingKey& key) {
    const Lock lock(mutex_);
    if (keys_.size() < kLimit) keys_.insert(key);
    any_.store(true, std::memory_order_release);
  }
  [[nodiscard]] bool Has(const BackingKey& key) const {
    if (!any_.load(std::memory_order_acquire)) return false;
    const Lock lock(mutex_);
    return keys_.size() >= kLimit || keys_.count(key) != 0;
  }

 private:
  std::atomic<bool> any_{false};
  mutable Mutex mutex_;
  std::unordered_set<BackingKey, BackingKeyHash> keys_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
