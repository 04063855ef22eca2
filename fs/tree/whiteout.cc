// Hiding and showing lower entries. At every instant the name is either hidden or shows the new content: before a whiteout goes, another
// tier holds one (the shield), because nothing temporary may stand in a tree and a whiteout cannot be replaced in one step by a link,
// a node or a directory. A whiteout in any tier hides every lower layer, here as in the kernel's overlayfs.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/tier/entry.h"
#include "fs/tier/merge.h"
#include "fs/tier/whiteouts.h"
#include "fs/tree/tree.h"

namespace tierfs {
Result<bool> Tree::LowerShows(const NodePtr& parent, const char* name) {
  for (const LayerIndex layer : parent->Parts().InLower()) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, layer));
    const auto st = StatEntry((*dir).get(), name);
    if (st) return !IsWhiteout(*st);
    if (st.error().code != ENOENT) return tl::unexpected(st.error());
  }
  return false;
}

Status Tree::PutWhiteout(const NodePtr& parent, const char* name, LayerIndex tier) {
  TIERFS_ASSIGN(const DirFd dir, OpenDirForWriting(parent, tier));
  TIERFS_TRY(MakeWhiteout((*dir).get(), name));
  Fault::Here("whiteout.put");
  Tell(LayerMask::Only(tier), parent, name, Feed::Change::kName);
  return {};
}

Status Tree::RemoveWhiteouts(const NodePtr& parent, const char* name, LayerMask tiers) {
  for (const LayerIndex tier : tiers) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, tier));
    const auto st = StatEntry((*dir).get(), name);
    if (!st || !IsWhiteout(*st)) continue;
    if (::unlinkat((*dir).get(), name, 0) != 0 && errno != ENOENT) return FailErrno("unlinkat of a whiteout");
    Fault::Here("whiteout.removed");
    Tell(LayerMask::Only(tier), parent, name, Feed::Change::kName);
  }
  return {};
}

LayerIndex Tree::ShieldFor(LayerMask busy) {
  // The bulk tier first: of all the trees its loss and its clutter matter least.
  for (int tier = kTierCount - 1; tier >= 0; --tier) {
    if (!busy.Has(static_cast<LayerIndex>(tier))) return static_cast<LayerIndex>(tier);
  }
  return kNoLayer;
}

Result<LayerMask> Tree::ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier, LayerMask whiteouts, bool is_dir) {
  LayerMask others = whiteouts.Without(tier);
  const bool needs_shield = whiteouts.Has(tier) || (is_dir && !whiteouts.Empty());
  if (needs_shield && others.Empty()) {
    const LayerIndex shield = ShieldFor(LayerMask::Only(tier));
    TIERFS_TRY(PutWhiteout(parent, name, shield));
    others = others.With(shield);
  }
  TIERFS_TRY(RemoveWhiteouts(parent, name, whiteouts.InTiers().Has(tier) ? LayerMask::Only(tier) : LayerMask()));
  return others;
}

Status Tree::HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir) {
  PartFds parts;
  TIERFS_ASSIGN(UniqueFd made, OpenEntry(tier_dir, name, O_RDONLY | O_DIRECTORY));
  parts.tiers.push_back(std::move(made));
  TIERFS_ASSIGN(const PartFds above, OpenParts(parent));
  TIERFS_ASSIGN(parts.lower, LowerDirectories(above.lower, name));
  return HideLower(parts, 0);
}

Status Tree::Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir, const std::function<Status()>& remove) {
  const LayerIndex home = LayerOf(DecisionFor(parent, name, is_dir).tier);
  // A whiteout on another disk is there for good before what it stands in for goes.
  const auto before = [&](LayerIndex whiteout, LayerMask going) -> Status {
    for (const LayerIndex layer : going) {
      if (layers_.SameMount(whiteout, layer)) continue;
      TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, whiteout));
      return tierfs::SyncDirectory((*dir).get());
    }
    return {};
  };
  if (!holding.Has(home)) {
    TIERFS_TRY(PutWhiteout(parent, name, home));
    TIERFS_TRY(before(home, holding));
    return remove();
  }
  const LayerIndex shield = ShieldFor(holding);
  if (shield == kNoLayer) return Fail(EBUSY, "every tier holds an entry of this name");
  TIERFS_TRY(PutWhiteout(parent, name, shield));
  TIERFS_TRY(before(shield, holding));
  if (const Status removed = remove(); !removed) {
    TIERFS_TRY(RemoveWhiteouts(parent, name, LayerMask::Only(shield)));
    return removed;
  }
  TIERFS_TRY(PutWhiteout(parent, name, home));
  TIERFS_TRY(before(home, LayerMask::Only(shield)));
  return RemoveWhiteouts(parent, name, LayerMask::Only(shield));
}

}  // namespace tierfs
