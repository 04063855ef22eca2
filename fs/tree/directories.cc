#include "fs/tree/directories.h"

#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/tier/entry.h"
#include "fs/tier/whiteouts.h"

namespace tierfs {
namespace {

// Longer paths are opened one directory at a time: the kernel takes at most PATH_MAX (4096) bytes
// in one call.
constexpr std::size_t kLongPath = 4000;

Result<struct stat> StatAt(const Location& at) {
  return at.name.empty() ? StatFd(at.DirOrFile()) : StatEntry(at.DirOrFile(), at.name.c_str());
}

}  // namespace

Result<DirFd> Directories::Open(const NodePtr& directory, LayerIndex layer) {
  if (DirFd fd = cache_.Get(*directory, layer)) return fd;
  const auto path = nodes_.PathOf(*directory);
  if (!path) return Fail(ENOENT, "directory without a name");
  constexpr int kFlags = O_PATH | O_DIRECTORY;
  UniqueFd fd;
  if (path->size() < kLongPath) {
    TIERFS_ASSIGN(fd, OpenBeneath(layers_[layer].root.get(), *path, kFlags));
  } else {
    const NodeTable::Place place = nodes_.PlaceOf(*directory);
    if (!place.parent) return Fail(ENOENT, "directory without a name");
    TIERFS_ASSIGN(const DirFd parent, Open(place.parent, layer));
    TIERFS_ASSIGN(fd, OpenBeneath((*parent).get(), place.name, kFlags));
  }
  auto shared = std::make_shared<const UniqueFd>(std::move(fd));
  cache_.Put(*directory, layer, shared);
  return DirFd(std::move(shared));
}

Result<DirFd> Directories::OpenForWriting(const NodePtr& directory, LayerIndex tier) {
  if (directory->Parts().Has(tier)) return Open(directory, tier);
  const NodeTable::Place place = nodes_.PlaceOf(*directory);
  if (!place.parent) return Fail(ENOENT, "directory without a name");
  TIERFS_ASSIGN(const DirFd parent, OpenForWriting(place.parent, tier));

  const Lock growth(growth_);
  if (directory->Parts().Has(tier)) return Open(directory, tier);
  // The directory may have been removed meanwhile.
  if (!nodes_.PlaceOf(*directory).parent) return Fail(ENOENT, "directory without a name");
  return Grow(directory, place, parent->get(), tier);
}

Result<DirFd> Directories::Grow(const NodePtr& directory, const NodeTable::Place& place, int parent, LayerIndex tier) {
  const LayerMask parts = directory->Parts();
  TIERFS_ASSIGN(const DirFd model, Open(directory, parts.First()));
  TIERFS_ASSIGN(const struct stat model_stat, StatFd((*model).get()));
  bool made_one = false;
  const AtEnd report([&] {
    if (made_one) reporter_.Report(LayerMask::Only(tier), place.parent, place.name, Feed::Change::kName);
  });
  // The parent gains no entry in the view of the user, so its time stays. The report comes after
  // the time is restored.
  const KeepTime keep(parent);

  const Status cloned = MakeDirectoryEntry(parent, place.name.c_str(), kUnfinishedDirMode);
  if (!cloned && cloned.error().code != EEXIST) return tl::unexpected(cloned.error());
  made_one = true;
  Fault::Here("parent.made");
  TIERFS_ASSIGN(UniqueFd made, OpenEntry(parent, place.name.c_str(), O_PATH | O_DIRECTORY));
  TIERFS_ASSIGN(const struct stat made_stat, StatFd(made.get()));
  if (IsUnfinishedDir(made_stat)) {
    TIERFS_TRY(CloneAttributes((*model).get(), model_stat, made.get()));
    TIERFS_TRY(CloneDirectoryFlags((*model).get(), made.get()));
  }

  const LayerMask grown = parts.With(tier);
  const BackingKey key = grown.First() == tier ? layers_.KeyOf(tier, made_stat) : nodes_.KeyOf(*directory);
  nodes_.Rekey(directory, key, grown);
  if (grown.First() == tier) Identify(*directory, made.get(), "");
  auto shared = std::make_shared<const UniqueFd>(std::move(made));
  cache_.Put(*directory, tier, shared);
  return DirFd(std::move(shared));
}

Result<std::vector<UniqueFd>> Directories::OpenTierParts(const NodePtr& directory) {
  std::vector<UniqueFd> parts;
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    TIERFS_ASSIGN(const DirFd dir, Open(directory, layer));
    TIERFS_ASSIGN(UniqueFd real, OpenEntry(dir->get(), ".", O_RDONLY | O_DIRECTORY));
    parts.push_back(std::move(real));
  }
  return parts;
}

Result<PartFds> Directories::OpenParts(const NodePtr& directory) {
  PartFds parts;
  TIERFS_ASSIGN(parts.tiers, OpenTierParts(directory));
  for (const LayerIndex layer : directory->Parts().InLower()) {
    TIERFS_ASSIGN(const DirFd dir, Open(directory, layer));
    TIERFS_ASSIGN(UniqueFd real, OpenEntry(dir->get(), ".", O_RDONLY | O_DIRECTORY));
    parts.lower.push_back(std::move(real));
  }
  return parts;
}

Result<Location> Directories::LocateByName(const NodePtr& node, const NodeTable::Place& place, LayerIndex layer) {
  Location at;
  at.layer = layer;
  const bool root = node == nodes_.root();
  TIERFS_ASSIGN(at.dir, Open(root ? node : place.parent, layer));
  at.name = root ? "." : place.name;
  return at;
}

Result<Location> Directories::Locate(const NodePtr& node, LayerIndex layer) {
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (node == nodes_.root() || place.parent) return LocateByName(node, place, layer);
  const Lock lock(node->mutex);
  return LocateLocked(node, layer);
}

Result<Location> Directories::LocateLocked(const NodePtr& node, LayerIndex layer) {
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (node == nodes_.root() || place.parent) return LocateByName(node, place, layer);
  if (!node->pinned) return Fail(ESTALE, "no name left");
  Location at;
  at.layer = layer;
  TIERFS_ASSIGN(at.file, Duplicate(node->pinned.get()));
  return at;
}

Status Directories::UseFirstPart(const NodePtr& node, const std::function<Status(const Location&)>& use) {
  if (node->IsDir()) {
    TIERFS_ASSIGN(const Location at, Locate(node, node->Parts().First()));
    return use(at);
  }
  const Lock lock(node->mutex);
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  return use(at);
}

Status Directories::ChangeTierParts(const NodePtr& directory, const std::function<Status(const Location&)>& change) {
  const Lock growth(growth_);
  const KeepTime::NoneIsPutBack times;
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    TIERFS_ASSIGN(const Location at, Locate(directory, layer));
    TIERFS_TRY(change(at));
  }
  return {};
}

Result<struct stat> Directories::Stat(const NodePtr& node) {
  if (!node->IsDir()) return StatFile(node);
  // Nothing moves in a directory without a name. Its node mutex, which Locate takes, must not be
  // awaited within the mutex of KeepTime.
  if (node != nodes_.root() && !nodes_.PlaceOf(*node).parent) return StatParts(node);
  return KeepTime::Undisturbed([&] { return StatParts(node); }, [](const auto&) { return true; });
}

Result<struct stat> Directories::StatFile(const NodePtr& node) {
  const auto is_the_file = [&](const Location& at, const struct stat& st) {
    return at.name.empty() || layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*node);
  };
  // A rename or a move between tiers may come between reading the place and the stat. The place has
  // then changed.
  for (;;) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    if (!place.parent) break;
    TIERFS_ASSIGN(const Location at, Locate(node, place.parts.First()));
    const Result<struct stat> st = StatAt(at);
    if (st && is_the_file(at, *st)) return st;
    if (!(nodes_.PlaceOf(*node) == place)) continue;
    if (!st && st.error().code != ENOENT) return st;
    break;
  }
  // A thread that moves the file holds the mutex of the node until the table has the new place.
  const Lock lock(node->mutex);
  if (node->last_seen) return *node->last_seen;
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  const Result<struct stat> st = StatAt(at);
  if (!st && st.error().code == ENOENT) return Fail(ESTALE, "gone underneath");
  if (st && !is_the_file(at, *st)) return Fail(ESTALE, "replaced underneath");
  return st;
}

Result<struct stat> Directories::StatParts(const NodePtr& directory) {
  MergedStat merged;
  for (const LayerIndex layer : directory->Parts()) {
    if (!IsTier(layer) && merged.Finished()) break;
    TIERFS_ASSIGN(const Location at, Locate(directory, layer));
    const auto st = StatAt(at);
    if (!st && st.error().code == ENOENT) continue;  // a part that was removed underneath
    if (!st) return st;
    if (S_ISDIR(st->st_mode)) merged.Add(*st);
  }
  if (merged.Empty()) return Fail(ESTALE, "directory gone from every layer");
  return merged.Get();
}

NodePtr Directories::Reference(const NodePtr& parent, const char* name, const Found& found) {
  if (!found.IsDir()) {
    reporter_.RememberLinks(found.key, found.st, found.Layer());
    return Identified(nodes_.Reference(parent, name, found), parent, name, found);
  }
  const Lock growth(growth_);
  return Identified(nodes_.Reference(parent, name, found), parent, name, found);
}

NodePtr Directories::Hold(const NodePtr& parent, const char* name, const Found& found) {
  if (!found.IsDir()) return Identified(nodes_.Hold(parent, name, found), parent, name, found);
  const Lock growth(growth_);
  return Identified(nodes_.Hold(parent, name, found), parent, name, found);
}

NodePtr Directories::Identified(NodePtr node, const NodePtr& parent, const char* name, const Found& found) {
  // The caller identifies a file that has no name yet.
  if (!node || !parent || node->identified.load(std::memory_order_acquire)) return node;
  const auto generation = [&]() -> Result<std::uint32_t> {
    TIERFS_ASSIGN(const DirFd dir, Open(parent, found.Layer()));
    return GenerationOf(dir->get(), name, found.key.inode);
  }();
  nodes_.Identify(*node, found.key, generation);
  return node;
}

NodePtr Directories::Find(const Found& found) {
  if (!found.IsDir()) return nodes_.Find(found.key);
  const Lock growth(growth_);
  return nodes_.Find(found.key);
}

Status Directories::RemoveGrownParts(const NodePtr& directory, const NodePtr& parent, const char* name, LayerMask known) {
  const Lock growth(growth_);
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    if (known.Has(layer)) continue;
    TIERFS_ASSIGN(const DirFd dir, Open(parent, layer));
    TIERFS_TRY(RemoveEmptyPart((*dir).get(), name));
  }
  cache_.Drop(*directory);
  return {};
}

}  // namespace tierfs
