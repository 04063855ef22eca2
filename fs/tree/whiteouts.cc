#include "fs/tree/whiteouts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/tier/entry.h"
#include "fs/tier/merge.h"
#include "fs/tier/whiteouts.h"

namespace tierfs {

Status Whiteouts::Put(const NodePtr& parent, const char* name, LayerIndex tier) {
  TIERFS_ASSIGN(const DirFd dir, directories_.OpenForWriting(parent, tier));
  TIERFS_TRY(MakeWhiteout((*dir).get(), name));
  Fault::Here("whiteout.put");
  reporter_.Report(LayerMask::Only(tier), parent, name, Feed::Change::kName);
  return {};
}

Status Whiteouts::Remove(const NodePtr& parent, const char* name, LayerMask tiers) {
  for (const LayerIndex tier : tiers) {
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, tier));
    const auto st = StatEntry((*dir).get(), name);
    if (!st || !IsWhiteout(*st)) continue;
    if (const Status removed = RemoveEntry((*dir).get(), name); !removed && removed.error().code != ENOENT) return removed;
    Fault::Here("whiteout.removed");
    reporter_.Report(LayerMask::Only(tier), parent, name, Feed::Change::kName);
  }
  return {};
}

LayerIndex Whiteouts::ShieldFor(LayerMask busy) {
  // The bulk tier comes first: its loss and its clutter matter least.
  for (int tier = kTierCount - 1; tier >= 0; --tier) {
    if (!busy.Has(static_cast<LayerIndex>(tier))) return static_cast<LayerIndex>(tier);
  }
  return kNoLayer;
}

Result<LayerMask> Whiteouts::ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier, LayerMask whiteouts, bool is_dir) {
  LayerMask others = whiteouts.Without(tier);
  const bool needs_shield = whiteouts.Has(tier) || (is_dir && !whiteouts.Empty());
  if (needs_shield && others.Empty()) {
    const LayerIndex shield = ShieldFor(LayerMask::Only(tier));
    TIERFS_TRY(Put(parent, name, shield));
    others = others.With(shield);
  }
  if (whiteouts.Has(tier)) TIERFS_TRY(Remove(parent, name, LayerMask::Only(tier)));
  return others;
}

Status Whiteouts::HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir) {
  PartFds parts;
  TIERFS_ASSIGN(UniqueFd made, OpenEntry(tier_dir, name, O_RDONLY | O_DIRECTORY));
  parts.tiers.push_back(std::move(made));
  TIERFS_ASSIGN(const PartFds above, directories_.OpenParts(parent));
  TIERFS_ASSIGN(parts.lower, LowerDirectories(above.lower, name));
  return HideLower(parts, 0);
}

Status Whiteouts::SyncBefore(const NodePtr& parent, LayerIndex whiteout, LayerMask going) {
  for (const LayerIndex layer : going) {
    if (layers_.SameMount(whiteout, layer)) continue;
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, whiteout));
    return SyncDirectory((*dir).get());
  }
  return {};
}

Status Whiteouts::Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir, const std::function<Status()>& remove) {
  const LayerIndex home = classifier_.HomeOf(parent, name, is_dir);
  if (!holding.Has(home)) {
    TIERFS_TRY(Put(parent, name, home));
    TIERFS_TRY(SyncBefore(parent, home, holding));
    return remove();
  }
  const LayerIndex shield = ShieldFor(holding);
  if (shield == kNoLayer) return Fail(EBUSY, "every tier holds an entry of this name");
  TIERFS_TRY(Put(parent, name, shield));
  TIERFS_TRY(SyncBefore(parent, shield, holding));
  if (const Status removed = remove(); !removed) {
    TIERFS_TRY(Remove(parent, name, LayerMask::Only(shield)));
    return removed;
  }
  TIERFS_TRY(Put(parent, name, home));
  TIERFS_TRY(SyncBefore(parent, home, LayerMask::Only(shield)));
  return Remove(parent, name, LayerMask::Only(shield));
}

Status Whiteouts::HideBeneath(const NodePtr& directory, const Side& place) {
  PartFds parts;
  TIERFS_ASSIGN(parts.tiers, directories_.OpenTierParts(directory));
  TIERFS_ASSIGN(const PartFds above, directories_.OpenParts(place.parent));
  TIERFS_ASSIGN(parts.lower, LowerDirectories(above.lower, place.name));
  // The whiteouts go into the class tier if the directory has a part there.
  const LayerIndex home = classifier_.HomeOf(place.parent, place.name, true);
  std::size_t index = 0;
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    if (layer == home) break;
    ++index;
  }
  return HideLower(parts, index == parts.tiers.size() ? 0 : index);
}

Status Whiteouts::DropStray(const NodePtr& directory) {
  TIERFS_ASSIGN(const PartFds parts, directories_.OpenParts(directory));
  return DropStrayWhiteoutsBeneath(parts);
}

}  // namespace tierfs
