// Renaming, whatever tiers are involved.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/tier/entry.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

// Two nodes' mutexes, the lower number first; either may be absent, and they may be one.
class LockBoth {
 public:
  LockBoth(Node* a, Node* b) {
    if (a == b) b = nullptr;
    if (a != nullptr && b != nullptr && b->id.value < a->id.value) std::swap(a, b);
    if (a != nullptr) first_ = NodeLock(a->mutex);
    if (b != nullptr) second_ = NodeLock(b->mutex);
  }

 private:
  NodeLock first_;
  NodeLock second_;
};

Status RenameAt(int from, const char* from_name, int to, const char* to_name, unsigned flags) {
  if (::renameat2(from, from_name, to, to_name, flags) != 0) return FailErrno("renameat2");
  return {};
}

}  // namespace

Status Tree::Rename(NodeId from_id, const char* from_name, NodeId to_id, const char* to_name, unsigned flags) {
  // A whiteout is the mount's own mark; a user cannot ask for one.
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Fail(EINVAL, "rename flags");
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  SharedTopology shared(topology_);
  std::unique_lock<std::shared_mutex> exclusive(topology_, std::defer_lock);
  TIERFS_ASSIGN(const NodePtr from, GetDirectory(from_id));
  TIERFS_ASSIGN(const NodePtr to, GetDirectory(to_id));
  Side source{from, from_name, {}};
  Side target{to, to_name, {}};
  const auto resolve = [&]() -> Status {
    TIERFS_ASSIGN(source.found, Resolve(from, from_name));
    TIERFS_ASSIGN(target.found, Resolve(to, to_name));
    return {};
  };
  TIERFS_TRY(resolve());
  if (source.found.IsDir() || (exchange && target.found.IsDir())) {
    // Every path beneath a directory that moves changes: nobody may be walking one.
    shared.unlock();
    exclusive.lock();
    TIERFS_TRY(resolve());
  }
  if (!source.found.Exists()) return Fail(ENOENT, "rename");
  // Every layer that an entry of either name is in, or comes into: also when only some of the steps could be done.
  const AtEnd tell([&] {
    LayerMask layers(source.found.parts.bits() | target.found.parts.bits());
    const bool is_dir = source.found.IsDir() || target.found.IsDir();
    for (const Side& side : {source, target}) layers = layers.With(LayerOf(DecisionFor(side.parent, side.name, is_dir).tier));
    for (const Side& side : {source, target}) {
      Tell(layers, side.parent, side.name, is_dir ? Feed::Change::kSubtree : Feed::Change::kName);
    }
  });
  if ((flags & RENAME_NOREPLACE) != 0 && target.found.Exists()) return Fail(EEXIST, "rename");
  if (exchange) return target.found.Exists() ? Exchange(source, target) : Fail(ENOENT, "exchange");
  if (target.found.Exists() && source.found.key == target.found.key) return {};  // two names of one file: POSIX says nothing happens
  if (source.found.IsDir()) {
    if (target.found.Exists() && !target.found.IsDir()) return Fail(ENOTDIR, "rename");
    return RenameDirectory(source, target);
  }
  if (target.found.IsDir()) return Fail(EISDIR, "rename");
  return RenameFile(source, target);
}

Status Tree::RenameFile(Side source, Side target) {
  const NodePtr node = nodes_.Find(source.found.key);
  const NodePtr replaced = nodes_.Find(target.found.key);
  if (!node) return Fail(ESTALE, "rename of an unknown file");
  TIERFS_TRY(CopyUp(node));
  const LockBoth lock(node.get(), replaced.get());
  // Either may have been settled, or copied up, before the locks were ours.
  TIERFS_ASSIGN(source.found, Resolve(source.parent, source.name));
  TIERFS_ASSIGN(target.found, Resolve(target.parent, target.name));
  if (!(source.found.key == nodes_.KeyOf(*node)) || (replaced && !(target.found.key == nodes_.KeyOf(*replaced)))) {
    return Fail(ESTALE, "rename of what was replaced underneath");
  }
  const LayerIndex home = source.found.parts.First();
  const LayerIndex tier = LayerOf(DecisionFor(target.parent, target.name, false).tier);
  if (!layers_.SameFileSystem(home, tier)) return Fail(EXDEV, "rename to a tier on another file system");

  TIERFS_ASSIGN(const DirFd from, OpenDir(source.parent, home));
  TIERFS_ASSIGN(const DirFd to, OpenDirForWriting(target.parent, tier));
  TIERFS_ASSIGN(const bool lower, LowerShows(source.parent, source.name));
  const LayerIndex replaced_in = target.found.parts.First();
  if (replaced) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, replaced_in));
    TIERFS_TRY(Pin(replaced, (*dir).get(), target.name));
  }
  moves_.fetch_add(1, std::memory_order_acq_rel);
  const Status renamed =
      RenameAt((*from).get(), source.name, (*to).get(), target.name, lower ? static_cast<unsigned>(RENAME_WHITEOUT) : 0U);
  if (renamed) nodes_.Renamed(node, target.parent, target.name, LayerMask::Only(tier));
  moves_.fetch_add(1, std::memory_order_acq_rel);
  TIERFS_TRY(renamed);

  // What stood at the target in another tier, and the marks that hid a lower entry there.
  if (target.found.Exists() && IsTier(replaced_in) && replaced_in != tier) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, replaced_in));
    if (::unlinkat((*dir).get(), target.name, 0) != 0 && errno != ENOENT) return FailErrno("unlinkat of a replaced file");
  }
  TIERFS_TRY(RemoveWhiteouts(target.parent, target.name, target.found.whiteouts.Without(tier)));
  if (lower) {
    const LayerIndex class_of_source = LayerOf(DecisionFor(source.parent, source.name, false).tier);
    if (class_of_source != home) {
      TIERFS_TRY(PutWhiteout(source.parent, source.name, class_of_source));
      TIERFS_TRY(RemoveWhiteouts(source.parent, source.name, LayerMask::Only(home)));
    }
  }
  if (replaced) NameGone(replaced, *target.parent, target.name);
  return {};
}

Status Tree::RenameDirectory(const Side& source, const Side& target) {
  const NodePtr node = nodes_.Find(source.found.key);
  const NodePtr replaced = target.found.Exists() ? nodes_.Find(target.found.key) : nullptr;
  if (!node) return Fail(ESTALE, "rename of an unknown directory");
  if (target.found.Exists()) {
    if (!replaced) return Fail(ESTALE, "rename onto an unknown directory");
    TIERFS_ASSIGN(const auto entries, ListParts(replaced, target.found.parts));
    if (!entries.empty()) return Fail(ENOTEMPTY, "rename");
  }
  TIERFS_ASSIGN(const bool lower_target, LowerShows(target.parent, target.name));
  if (!source.found.parts.InLower().Empty() || lower_target) {
    return Fail(EXDEV, "rename of a directory over lower layers");
  }
  const LockBoth lock(node.get(), replaced.get());
  if (replaced) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, target.found.parts.First()));
    TIERFS_TRY(Pin(replaced, (*dir).get(), target.name));
  }
  for (const LayerIndex layer : target.found.parts.InTiers()) {
    // Where both stand in a tree, the rename itself replaces the empty one.
    if (source.found.parts.Has(layer)) continue;
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, layer));
    TIERFS_TRY(RemoveEmptyPart((*dir).get(), target.name));
  }
  for (const LayerIndex layer : source.found.parts.InTiers()) {
    TIERFS_ASSIGN(const DirFd from, OpenDir(source.parent, layer));
    TIERFS_ASSIGN(const DirFd to, OpenDirForWriting(target.parent, layer));
    TIERFS_TRY(RenameAt((*from).get(), source.name, (*to).get(), target.name, 0));
  }
  if (replaced) {
    nodes_.Unlinked(replaced, *target.parent, target.name, true);
    dirs_.Drop(replaced->id);
  }
  const PolicyState policy = Policy();
  const policy::State before = nodes_.StateOf(*node, *policy.policy, policy.epoch);
  nodes_.Renamed(node, target.parent, target.name, source.found.parts);
  const policy::State after = nodes_.StateOf(*node, *policy.policy, policy.epoch);
  // The directory itself belongs to the tier of its new path too, also when it is empty.
  TIERFS_ASSIGN(const DirFd home, OpenDirForWriting(node, LayerOf(policy.policy->DecisionOf(after).tier)));
  if (!policy.policy->Equivalent(before, after)) ContentChangedClass(node);
  return {};
}

Status Tree::Exchange(const Side& source, const Side& target) {
  const NodePtr a = nodes_.Find(source.found.key);
  const NodePtr b = nodes_.Find(target.found.key);
  if (!a || !b) return Fail(ESTALE, "exchange of an unknown entry");
  for (const NodePtr& node : {a, b}) {
    if (!node->IsDir()) TIERFS_TRY(CopyUp(node));
  }
  const bool merges_lower = (a->IsDir() && !source.found.parts.InLower().Empty()) ||
                            (b->IsDir() && !target.found.parts.InLower().Empty());
  TIERFS_ASSIGN(const bool lower_source, LowerShows(source.parent, source.name));
  TIERFS_ASSIGN(const bool lower_target, LowerShows(target.parent, target.name));
  if (merges_lower || ((a->IsDir() || b->IsDir()) && (lower_source || lower_target))) {
    return Fail(EXDEV, "exchange of a directory over lower layers");
  }
  const LayerMask a_parts = a->Parts();
  const LayerMask b_parts = b->Parts();
  const LockBoth lock(a.get(), b.get());
  if (a_parts.Single() && b_parts.Single()) {
    // Each takes the other's place, and with it its tier.
    const LayerIndex a_layer = a_parts.First();
    const LayerIndex b_layer = b_parts.First();
    if (!layers_.SameFileSystem(a_layer, b_layer)) return Fail(EXDEV, "exchange between file systems");
    TIERFS_ASSIGN(const DirFd from, OpenDir(source.parent, a_layer));
    TIERFS_ASSIGN(const DirFd to, OpenDir(target.parent, b_layer));
    moves_.fetch_add(1, std::memory_order_acq_rel);
    const Status done = RenameAt((*from).get(), source.name, (*to).get(), target.name, RENAME_EXCHANGE);
    if (done) {
      nodes_.Renamed(a, target.parent, target.name, b_parts);
      nodes_.Renamed(b, source.parent, source.name, a_parts);
    }
    moves_.fetch_add(1, std::memory_order_acq_rel);
    TIERFS_TRY(done);
  } else {
    for (const LayerIndex layer : LayerMask(a_parts.bits() | b_parts.bits())) {
      TIERFS_ASSIGN(const DirFd from, OpenDirForWriting(source.parent, layer));
      TIERFS_ASSIGN(const DirFd to, OpenDirForWriting(target.parent, layer));
      if (a_parts.Has(layer) && b_parts.Has(layer)) {
        TIERFS_TRY(RenameAt((*from).get(), source.name, (*to).get(), target.name, RENAME_EXCHANGE));
      } else if (a_parts.Has(layer)) {
        TIERFS_TRY(RenameAt((*from).get(), source.name, (*to).get(), target.name, RENAME_NOREPLACE));
      } else {
        TIERFS_TRY(RenameAt((*to).get(), target.name, (*from).get(), source.name, RENAME_NOREPLACE));
      }
    }
    nodes_.Renamed(a, target.parent, target.name, a_parts);
    nodes_.Renamed(b, source.parent, source.name, b_parts);
  }
  dirs_.Clear();
  for (const NodePtr& node : {a, b}) {
    if (!node->IsDir()) continue;
    TIERFS_ASSIGN(const DirFd home, OpenDirForWriting(node, LayerOf(DecisionOfNode(*node).tier)));
    ContentChangedClass(node);
  }
  return {};
}

}  // namespace tierfs
