// Removes names.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/tier/whiteouts.h"
#include "fs/tree/names.h"

namespace tierfs {

Status Names::Pin(const NodePtr& node, int dir, const char* name) {
  if (node->pinned) return {};
  TIERFS_ASSIGN(node->pinned, OpenEntry(dir, name, O_PATH));
  return {};
}

Status Names::MayRemove(const Side& there) {
  TIERFS_ASSIGN(const DirFd shown, directories_.Open(there.parent, there.parent->Parts().First()));
  TIERFS_TRY(IsUnprotected((*shown).get(), ""));
  TIERFS_ASSIGN(const DirFd dir, directories_.Open(there.parent, there.found.Layer()));
  return IsUnprotected((*dir).get(), there.name);
}

void Names::NameGone(const NodePtr& node, const NodePtr& parent, const char* name) {
  const auto st = StatFd(node->pinned.get());
  const bool last = st && st->st_nlink == 0;
  nodes_.Unlinked(node, parent, name, last);
  if (last) node->removed = true;
  if (nodes_.PlaceOf(*node).parent) {
    node->pinned.Reset();  // a hard link that is still known by another name needs no descriptor
  } else if (!node->open.Any()) {
    settle_queue_.NothingToSettle(node);
    if (last) OpenFiles::GiveBackSpace(*node, *st);
  }
}

Status Names::Unlink(NodeId parent, const char* name) {
  for (;;) {
    TIERFS_ASSIGN(const NodePtr shared, TryUnlink(parent, name));
    if (!shared) return {};
    TIERFS_TRY(copies_.CopyUp(shared));
  }
}

Result<NodePtr> Names::TryUnlink(NodeId parent_id, const char* name) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  for (;;) {
    Side there{parent, name, {}, {}};
    TIERFS_ASSIGN(const std::uint64_t generation, view_.FindAll({&there}));
    const NodePtr& node = there.node;
    if (!there.found.Exists()) return Fail(ENOENT, "unlink");
    if (there.found.IsDir()) return Fail(EISDIR, "unlink");
    // The kernel looks a file up before it asks for its removal, so there is a node.
    if (!node) return Fail(ESTALE, "unlink of an unknown file");
    if (Copies::SharesLowerFile(there.found) && !IsTier(node->Placement())) return node;
    const Lock lock(node->mutex);
    if (nodes_.Generation() != generation) continue;
    if (!(there.found.key == nodes_.KeyOf(*node))) return Fail(ESTALE, "unlink of what was replaced underneath");
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, there.found.Layer()));
    TIERFS_TRY(Pin(node, (*dir).get(), name));
    TIERFS_TRY(RemoveFile(there));
    NameGone(node, parent, name);
    return NodePtr();
  }
}

Status Names::RemoveFile(const Side& there) {
  const LayerIndex layer = there.found.Layer();
  TIERFS_ASSIGN(const DirFd dir, directories_.Open(there.parent, layer));
  const AtEnd report([&] {
    reporter_.Report(LayerMask::Only(layer), there.parent, there.name, Feed::Change::kName);
    reporter_.ReportOtherNames(there.found, Feed::Change::kName);
  });
  const auto remove = [&]() -> Status { return IsTier(layer) ? RemoveEntry((*dir).get(), there.name) : Status{}; };
  TIERFS_ASSIGN(const bool lower, view_.LowerShows(there.parent, there.name));
  if (lower) TIERFS_TRY(MayRemove(there));
  return lower ? whiteouts_.Hide(there.parent, there.name, there.found.parts.InTiers(), false, remove) : remove();
}

Status Names::RemoveDirectory(NodeId parent_id, const char* name) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  Side there{parent, name, {}, {}};
  TIERFS_ASSIGN([[maybe_unused]] const std::uint64_t generation, view_.FindAll({&there}));
  const NodePtr& node = there.node;
  if (!there.found.Exists()) return Fail(ENOENT, "rmdir");
  if (!there.found.IsDir()) return Fail(ENOTDIR, "rmdir");
  // The kernel looks a directory up before it asks for its removal, so there is a node.
  if (!node) return Fail(ESTALE, "rmdir of an unknown directory");
  TIERFS_ASSIGN(const auto entries, view_.ListParts(node, there.found.parts));
  if (!entries.empty() || !there.found.parts.InLower().Empty()) TIERFS_TRY(MayRemove(there));
  if (!entries.empty()) return Fail(ENOTEMPTY, "rmdir");
  const AtEnd report([&] { reporter_.Report(there.found.parts, parent, name, Feed::Change::kSubtree); });
  {
    const Lock lock(node->mutex);
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, there.found.Layer()));
    TIERFS_TRY(Pin(node, (*dir).get(), name));
    TIERFS_TRY(RemoveParts(there));
    nodes_.Unlinked(node, parent, name, true);
  }
  // The mutex of the node is released here: a thread with the growth lock may wait for it, to stat
  // the directory without a name. A part that settling added meanwhile would bring the directory
  // back.
  return directories_.RemoveGrownParts(node, parent, name, there.found.parts);
}

Status Names::RemoveParts(const Side& there) {
  LayerMask holding = there.found.parts.InTiers();
  const auto remove = [&]() -> Status {
    // The best protected part is removed last. Until then the directory exists with its attributes.
    for (int layer = kTierCount - 1; layer >= 0; --layer) {
      if (!holding.Has(static_cast<LayerIndex>(layer))) continue;
      TIERFS_ASSIGN(const DirFd dir, directories_.Open(there.parent, static_cast<LayerIndex>(layer)));
      TIERFS_TRY(RemoveEmptyPart((*dir).get(), there.name));
    }
    return {};
  };
  TIERFS_ASSIGN(const bool lower, view_.LowerShows(there.parent, there.name));
  if (!lower) return remove();
  if (Whiteouts::ShieldFor(holding) == kNoLayer) {
    // All four tiers have a part. The bulk part makes room for the shield, and its whiteouts move
    // to the next tier.
    const LayerIndex bulk = LayerOf(TierId::kBulk);
    TIERFS_ASSIGN(const DirFd above, directories_.Open(there.parent, LayerOf(TierId::kState)));
    TIERFS_TRY(whiteouts_.HideLowerEntries(there.parent, there.name, (*above).get()));
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(there.parent, bulk));
    TIERFS_TRY(RemoveEmptyPart((*dir).get(), there.name));
    holding = holding.Without(bulk);
  }
  return whiteouts_.Hide(there.parent, there.name, holding, true, remove);
}

}  // namespace tierfs
