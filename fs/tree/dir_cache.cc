#include "fs/tree/dir_cache.h"

namespace tierfs {

DirFd DirCache::Get(const Node& node, LayerIndex layer) {
  const auto now = Clock::now();
  const Lock lock(mutex_);
  const auto found = entries_.find(KeyOf(node, layer));
  if (found == entries_.end()) return nullptr;
  if (now - found->second->opened > max_age_) {
    recent_.erase(found->second);
    entries_.erase(found);
    return nullptr;
  }
  recent_.splice(recent_.begin(), recent_, found->second);
  return found->second->fd;
}

void DirCache::Put(const Node& node, LayerIndex layer, DirFd fd) {
  const Key key = KeyOf(node, layer);
  if (key.generation == 0 && !(node.id == kRootNode)) return;  // not identified yet
  const Lock lock(mutex_);
  if (const auto found = entries_.find(key); found != entries_.end()) {
    recent_.erase(found->second);
    entries_.erase(found);
  }
  recent_.push_front(Entry{key, std::move(fd), Clock::now()});
  entries_[key] = recent_.begin();
  if (entries_.size() > capacity_) {
    entries_.erase(recent_.back().key);
    recent_.pop_back();
  }
}

void DirCache::Drop(const Node& node) {
  const Lock lock(mutex_);
  for (LayerIndex layer = 0; layer < kMaxLayers; ++layer) {
    if (const auto found = entries_.find(KeyOf(node, layer)); found != entries_.end()) {
      recent_.erase(found->second);
      entries_.erase(found);
    }
  }
}

void DirCache::Clear() {
  const Lock lock(mutex_);
  entries_.clear();
  recent_.clear();
}

}  // namespace tierfs
