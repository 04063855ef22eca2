// One at a time for each node, without a mutex in every node.
#pragma once

#include <condition_variable>
#include <mutex>
#include <unordered_set>

#include "fs/tree/node.h"

namespace tierfs {

class Turns {
 public:
  // Waits until nobody else has the node's turn, and has it until it goes.
  class Turn {
   public:
    Turn(Turns& turns, NodeId node) : turns_(turns), node_(node) {
      std::unique_lock lock(turns_.mutex_);
      turns_.over_.wait(lock, [&] { return turns_.taken_.insert(node_.value).second; });
    }
    ~Turn() {
      const std::lock_guard lock(turns_.mutex_);
      turns_.taken_.erase(node_.value);
      turns_.over_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
    const NodeId node_;
  };

 private:
  std::mutex mutex_;
  std::condition_variable over_;
  std::unordered_set<std::uint64_t> taken_;
};

}  // namespace tierfs
