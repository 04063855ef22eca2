// Directories that are being read. There are no directory handles: the kernel is told so once and
// then opens directories without a request and keeps their listings, until a change through the
// mount, another mtime or an invalidation. What it asks is "the entries of this node from this
// offset on", with nothing remembered from request to request but as a help.
//
// An offset is therefore a hash of the name up to which it was read, and entries are listed in the
// order of their hashes: reading goes on at the right place whatever was created and removed
// meanwhile, also when the listing was made anew or the daemon was replaced.
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
    std::uint64_t offset;  // of what comes after it
    DirectoryEntry entry;
  };
  // `entries` as Tree::List gives them: "." and ".." first.
  explicit Listing(std::vector<DirectoryEntry> entries);

  [[nodiscard]] const std::vector<Item>& items() const { return items_; }
  // The index of the first item that was not read yet by one who is at `offset`.
  [[nodiscard]] std::size_t After(std::uint64_t offset) const;

 private:
  std::vector<Item> items_;
};

using ListingPtr = std::shared_ptr<const Listing>;

// The listings that somebody is in the midst of. Bounded in number and in entries; what it dropped
// is listed anew. Thread-safe.
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
