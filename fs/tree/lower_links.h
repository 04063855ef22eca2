// The hard links in the lower layers.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Owns an index of the lower files that have several names. A file system does not tell the names
// of an inode, so the first question walks all the lower layers; it takes as long as a find(1).
// Nothing is kept for a file of one name. Thread-safe. The mutex is held during the walk, so no
// other lock may be held by a caller.
class LowerLinks {
 public:
  explicit LowerLinks(const LayerSet& layers) : layers_(layers) {}

  // The paths, relative to the layers, of the names of a file in the lower layer `layer`. `st` is
  // the file. An upper layer may hide some of them. Names beneath a mount of a third file system
  // are not found. Fails if a lower layer cannot be read.
  [[nodiscard]] Result<std::vector<std::string>> NamesOf(LayerIndex layer, const struct stat& st);
  // Drops the index, because lower layers may have been changed underneath.
  void Forget();

 private:
  using Index = std::unordered_map<BackingKey, std::vector<std::string>, BackingKeyHash>;
  // Reads the names of the files on one file system.
  [[nodiscard]] Result<Index> Walk(dev_t device) const;

  const LayerSet& layers_;
  Mutex mutex_;
  Index names_ GUARDED_BY(mutex_);
  std::unordered_set<dev_t> walked_ GUARDED_BY(mutex_);  // the file systems in the index
};

}  // namespace tierfs
