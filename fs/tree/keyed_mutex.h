// A mutex for each node that takes no memory in the node.
#pragma once

#include <unordered_set>

#include "fs/os/mutex.h"
#include "fs/tree/node.h"

namespace tierfs {

class KeyedMutex {
 public:
  // Waits until no other thread holds the mutex of the node, then holds it until destroyed.
  class Holder {
   public:
    Holder(KeyedMutex& keys, NodeId node) : keys_(keys), node_(node) {
      Lock lock(keys_.mutex_);
      while (!keys_.held_.insert(node_.value).second) keys_.released_.wait(lock);
    }
    ~Holder() {
      const Lock lock(keys_.mutex_);
      keys_.held_.erase(node_.value);
      keys_.released_.notify_all();
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

   private:
    KeyedMutex& keys_;
    const NodeId node_;
  };

 private:
  Mutex mutex_;
  Wakeup released_;
  std::unordered_set<std::uint64_t> held_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
