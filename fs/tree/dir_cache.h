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

// Owns the descriptors, keyed by node and layer. A node stands for itself and for later nodes of
// the same directory, which have its number and generation. A descriptor stays right when its
// directory is renamed through the mount. A descriptor older than `max_age` is not used again, so
// changes made to the trees underneath are seen within that time. Thread-safe; the mutex is a leaf.
class DirCache {
 public:
  DirCache(std::size_t capacity, std::chrono::nanoseconds max_age) : capacity_(capacity), max_age_(max_age) {}

  [[nodiscard]] DirFd Get(const Node& node, LayerIndex layer);
  void Put(const Node& node, LayerIndex layer, DirFd fd);
  void Drop(const Node& node);
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;
  struct Key {
    std::uint64_t node;
    std::uint32_t generation;
    LayerIndex layer;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept {
      return (key.node + (std::uint64_t{key.generation} << 24) + (std::uint64_t{key.layer} << 56)) * 0x9E3779B97F4A7C15ULL >> 7;
    }
  };
  struct Entry {
    Key key;
    DirFd fd;
    Clock::time_point opened;
  };
  static Key KeyOf(const Node& node, LayerIndex layer) { return Key{node.id.value, node.generation.load(), layer}; }

  const std::size_t capacity_;
  const std::chrono::nanoseconds max_age_;
  Mutex mutex_;
  std::list<Entry> recent_ GUARDED_BY(mutex_);  // most recently used first
  std::unordered_map<Key, std::list<Entry>::iterator, KeyHash> entries_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
