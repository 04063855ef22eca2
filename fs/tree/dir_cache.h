// A bounded cache of descriptors of recently used directories.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <unordered_map>

#include "fs/os/mutex.h"
#include "fs/os/unique_fd.h"
#include "fs/tree/node.h"

namespace tierfs {

using DirFd = std::shared_ptr<const UniqueFd>;

// Owns the descriptors, keyed by node and layer. A descriptor stays right when its directory is
// renamed through the mount. A descriptor older than `max_age` is not used again, so changes made
// to the trees underneath are seen within that time. Thread-safe; the mutex is a leaf.
class DirCache {
 public:
  DirCache(std::size_t capacity, std::chrono::nanoseconds max_age) : capacity_(capacity), max_age_(max_age) {}

  [[nodiscard]] DirFd Get(NodeId node, LayerIndex layer);
  void Put(NodeId node, LayerIndex layer, DirFd fd);
  void Drop(NodeId node);
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::uint64_t key;
    DirFd fd;
    Clock::time_point opened;
  };
  static std::uint64_t KeyOf(NodeId node, LayerIndex layer) { return node.value * kMaxLayers + layer; }

  const std::size_t capacity_;
  const std::chrono::nanoseconds max_age_;
  Mutex mutex_;
  std::list<Entry> recent_ GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<std::uint64_t, std::list<Entry>::iterator> entries_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
