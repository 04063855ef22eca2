#include "fs/fuse/listings.h"

#include <xxhash.h>

#include <algorithm>

namespace tierfs {
namespace {

constexpr std::size_t kMaxListings = 16;
constexpr std::size_t kMaxEntries = 1'000'000;

// "." and ".." come first, and offset 0 is the start.
constexpr std::uint64_t kFirstHash = 3;

std::uint64_t HashOf(const std::string& name) {
  return std::max<std::uint64_t>(XXH3_64bits(name.data(), name.size()) & 0x7FFF'FFFF'FFFF'FFF0U, kFirstHash);
}

}  // namespace

Listing::Listing(std::vector<DirectoryEntry> entries) {
  items_.reserve(entries.size());
  for (DirectoryEntry& entry : entries) {
    const std::uint64_t offset = items_.size() < 2 ? items_.size() + 1 : HashOf(entry.name);
    items_.push_back(Item{offset, std::move(entry)});
  }
  std::sort(items_.begin(), items_.end(),
            [](const Item& a, const Item& b) { return a.offset != b.offset ? a.offset < b.offset : a.entry.name < b.entry.name; });
  for (std::size_t i = 1; i < items_.size(); ++i) items_[i].offset = std::max(items_[i].offset, items_[i - 1].offset + 1);
}

std::size_t Listing::After(std::uint64_t offset) const {
  const auto at =
      std::upper_bound(items_.begin(), items_.end(), offset, [](std::uint64_t value, const Item& item) { return value < item.offset; });
  return static_cast<std::size_t>(at - items_.begin());
}

std::list<Listings::Kept>::iterator Listings::Find(NodeId node) {
  return std::find_if(recent_.begin(), recent_.end(), [node](const Kept& kept) { return kept.node == node; });
}

ListingPtr Listings::Get(NodeId node) {
  const Lock lock(mutex_);
  const auto found = Find(node);
  if (found == recent_.end()) return nullptr;
  recent_.splice(recent_.begin(), recent_, found);
  return found->listing;
}

void Listings::Put(NodeId node, ListingPtr listing) {
  const Lock lock(mutex_);
  if (const auto found = Find(node); found != recent_.end()) recent_.erase(found);
  recent_.push_front(Kept{node, std::move(listing)});
  std::size_t entries = 0;
  std::size_t number = 0;
  auto kept = recent_.begin();
  for (; kept != recent_.end(); ++kept) {
    entries += kept->listing->items().size();
    if (++number > kMaxListings || (number > 1 && entries > kMaxEntries)) break;
  }
  recent_.erase(kept, recent_.end());
}

void Listings::Drop(NodeId node) {
  const Lock lock(mutex_);
  if (const auto found = Find(node); found != recent_.end()) recent_.erase(found);
}

}  // namespace tierfs
