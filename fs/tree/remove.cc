// Removing names.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/os/list_dir.h"
#include "fs/tier/entry.h"
#include "fs/tier/whiteouts.h"
#include "fs/tree/tree.h"

namespace tierfs {

Status Tree::Pin(const NodePtr& node, int dir, const char* name) {
  if (node->pinned) return {};
  TIERFS_ASSIGN(node->pinned, OpenEntry(dir, name, O_PATH));
  return {};
}

void Tree::NameGone(const NodePtr& node, const NodePtr& parent, const char* name) {
  const auto st = StatFd(node->pinned.get());
  nodes_.Unlinked(node, parent, name, st && st->st_nlink == 0);
  if (nodes_.PlaceOf(*node).parent) {
    node->pinned.Reset();  // a hard link that is still known by another name needs no descriptor
  } else if (!node->open.Any()) {
    NothingToSettle(node);
  }
}

Status Tree::Unlink(NodeId parent_id, const char* name) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  Side there{parent, name, {}, {}};
  const Found& found = there.found;
  const NodePtr& node = there.node;
  NodeLock lock;
  for (;;) {
    TIERFS_ASSIGN(const std::uint64_t moved, LookAt({&there}));
    if (!found.Exists()) return Fail(ENOENT, "unlink");
    if (found.IsDir()) return Fail(EISDIR, "unlink");
    if (!node) break;
    lock = NodeLock(node->mutex);
    if (nodes_.Moved() == moved) break;
    lock = {};
  }
  if (node && !(found.key == nodes_.KeyOf(*node))) return Fail(ESTALE, "unlink of what was replaced underneath");
  const LayerIndex layer = found.parts.First();
  TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, layer));
  if (node) TIERFS_TRY(Pin(node, (*dir).get(), name));
  const AtEnd tell([&] {
    Tell(LayerMask::Only(layer), parent, name, Feed::Change::kName);
    TellLinks(found, Feed::Change::kName);
  });
  const auto remove = [&]() -> Status {
    if (IsTier(layer) && ::unlinkat((*dir).get(), name, 0) != 0) return FailErrno("unlinkat");
    return {};
  };
  TIERFS_ASSIGN(const bool lower, LowerShows(parent, name));
  if (lower) {
    TIERFS_TRY(Hide(parent, name, found.parts.InTiers(), false, remove));
  } else {
    TIERFS_TRY(remove());
  }
  if (node) NameGone(node, parent, name);
  return {};
}

Status Tree::RemoveDirectory(NodeId parent_id, const char* name) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  Side there{parent, name, {}, {}};
  const Found& found = there.found;
  const NodePtr& node = there.node;
  TIERFS_TRY(LookAt({&there}));
  if (!found.Exists()) return Fail(ENOENT, "rmdir");
  if (!found.IsDir()) return Fail(ENOTDIR, "rmdir");
  // The kernel looked the directory up before it asked, so there is a node.
  if (!node) return Fail(ESTALE, "rmdir of an unknown directory");
  TIERFS_ASSIGN(const auto entries, ListParts(node, found.parts));
  if (!entries.empty()) return Fail(ENOTEMPTY, "rmdir");

  LayerMask holding = found.parts.InTiers();
  const AtEnd tell([&] { Tell(found.parts, parent, name, Feed::Change::kSubtree); });
  const auto remove = [&]() -> Status {
    // The best protected part last: until it is gone the directory is there, with the attributes that it had.
    for (int layer = kTierCount - 1; layer >= 0; --layer) {
      if (!holding.Has(static_cast<LayerIndex>(layer))) continue;
      TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, static_cast<LayerIndex>(layer)));
      TIERFS_TRY(RemoveEmptyPart((*dir).get(), name));
    }
    return {};
  };
  auto lock = NodeLock(node->mutex);
  {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, found.parts.First()));
    TIERFS_TRY(Pin(node, (*dir).get(), name));
  }
  TIERFS_ASSIGN(const bool lower, LowerShows(parent, name));
  if (!lower) {
    TIERFS_TRY(remove());
  } else {
    if (ShieldFor(holding) == kNoLayer) {
      // All four trees have it: the bulk part makes room for the shield, its whiteouts move to the next.
      const LayerIndex bulk = LayerOf(TierId::kBulk);
      TIERFS_ASSIGN(const DirFd above, OpenDir(parent, LayerOf(TierId::kState)));
      TIERFS_TRY(HideLowerEntries(parent, name, (*above).get()));
      TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, bulk));
      TIERFS_TRY(RemoveEmptyPart((*dir).get(), name));
      holding = holding.Without(bulk);
    }
    TIERFS_TRY(Hide(parent, name, holding, true, remove));
  }
  nodes_.Unlinked(node, parent, name, true);
  lock = {};  // who holds growth_ may wait for somebody who asks for the directory without a name
  // A part that it got meanwhile, of a settling that went by, would bring it back.
  const std::lock_guard growth(growth_);
  for (const LayerIndex layer : node->Parts().InTiers()) {
    if (found.parts.Has(layer)) continue;
    TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, layer));
    TIERFS_TRY(RemoveEmptyPart((*dir).get(), name));
  }
  dirs_.Drop(node->id);
  return {};
}

}  // namespace tierfs
