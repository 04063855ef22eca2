// Listings of directories that are being read. There are no directory handles: opendir is refused
// once, and from then on the kernel opens directories without a request. It caches their listings
// until a change through the mount, another mtime or an invalidation. It asks for the entries of a
// node from an offset on. No state has to survive between two such requests; a kept listing only
// saves work.
//
// An offset is therefore a hash of the last name read, and entries are listed in the order of their
// hashes. Reading continues at the right place even if entries were created or removed meanwhile,
// the listing was made anew, or the daemon was replaced.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tree/tree.h"

namespace tierfs {

// The entries of a directory at one moment. Immutable.
class Listing {
 public:
  struct Item {
    std::uint64_t offset;  // the position after this entry
    DirectoryEntry entry;
  };
  // `entries` as Tree::List gives them: "." and ".." first.
  explicit Listing(std::vector<DirectoryEntry> entries);

  [[nodiscard]] const std::vector<Item>& items() const { return items_; }
  // Returns the index of the first item not yet read by a reader at `offset`.
  [[nodiscard]] std::size_t After(std::uint64_t offset) const;

 private:
  std::vector<Item> items_;
};

using ListingPtr = std::shared_ptr<const Listing>;

// Owns the listings of directories whose reading is under way. Bounded in number and in entries; a
// dropped listing is made anew. Thread-safe.
class Listings {
 public:
  [[nodiscard]] ListingPtr Get(NodeId node);
  void Put(NodeId node, ListingPtr listing);
  void Drop(NodeId node);

 private:
  struct Kept {
    NodeId node;
    ListingPtr listing;
  };
  std::list<Kept>::iterator Find(NodeId node) REQUIRES(mutex_);

  Mutex mutex_;
  std::list<Kept> recent_ GUARDED_BY(mutex_);  // most recently used first
};

}  // namespace tierfs
