// Files that have a name where the change feed does not look, and perhaps another where it does.
#pragma once

#include <atomic>
#include <unordered_set>

#include "fs/os/mutex.h"
#include "fs/tier/layer.h"

namespace tierfs {

// The backing inodes that were seen with several names, one of them in a tier that is not tracked.
// What changes by such a name changes in the tracked tree too, and the feed has to hear of it by
// the inode, because nobody knows the other names. Only grows, up to a limit: above it every file
// counts as one of them, and the feed looks for names that are not there. Costs one load as long as
// there is none.
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
