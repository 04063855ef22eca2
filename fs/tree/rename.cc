// Renaming, whatever tiers are involved. Files here; directories in rename_directory.cc.
//
// A file belongs to the tier of its new path at once. One rename between the trees does it where both are on one mount. Otherwise a copy,
// made and durable before anything changes, takes the new place and the old file goes. A file that is open, or has other names, is renamed
// within its tier instead, so that no descriptor loses sight of what another one writes; an open one follows at its last close. So does
// one that is closed and still mapped for writing.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/fault.h"
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

}  // namespace

Status Tree::Rename(NodeId from_id, const char* from_name, NodeId to_id, const char* to_name, unsigned flags) {
  // A whiteout is the mount's own mark; a user cannot ask for one.
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Fail(EINVAL, "rename flags");
  const bool exchange = (flags & RENAME_EXCHANGE) != 0;
  std::optional<Staged> copy;
  bool mapped = false;
  // What has to be copied first is copied with nothing locked; then all is looked at anew.
  for (;;) {
    SharedTopology shared(topology_);
    std::unique_lock<std::shared_mutex> exclusive(topology_, std::defer_lock);
    TIERFS_ASSIGN(const NodePtr from, GetDirectory(from_id));
    TIERFS_ASSIGN(const NodePtr to, GetDirectory(to_id));
    Side source{from, from_name, {}, {}};
    Side target{to, to_name, {}, {}};
    TIERFS_ASSIGN(std::uint64_t moved, LookAt({&source, &target}));
    if (source.found.IsDir() || (exchange && target.found.IsDir())) {
      // Every path beneath a directory that moves changes: nobody may be walking one.
      shared.unlock();
      exclusive.lock();
      TIERFS_ASSIGN(moved, LookAt({&source, &target}));
    }
    if (!source.found.Exists()) return Fail(ENOENT, "rename");
    if ((flags & RENAME_NOREPLACE) != 0 && target.found.Exists()) return Fail(EEXIST, "rename");
    if (exchange && !target.found.Exists()) return Fail(ENOENT, "exchange");
    if (!exchange && target.found.Exists() && source.found.IsDir() != target.found.IsDir()) {
      return Fail(target.found.IsDir() ? EISDIR : ENOTDIR, "rename");
    }
    // Two names of one file: POSIX says nothing happens.
    if (target.found.Exists() && source.found.key == target.found.key) return {};

    if (source.found.IsDir() && !exchange && target.found.Exists()) {
      if (!target.node) return Fail(ESTALE, "rename onto an unknown directory");
      TIERFS_ASSIGN(const auto entries, ListParts(target.node, target.found.parts));
      if (!entries.empty()) return Fail(ENOTEMPTY, "rename");
    }

    // What is in no tier has to get there.
    NodePtr lower;
    for (const Side* side : {&source, &target}) {
      if (side == &target && !exchange) break;
      if (!side->node) return Fail(ESTALE, "rename of what is not known");
      bool in_lower = side->found.parts.InTiers().Empty();
      if (side->found.IsDir() && !in_lower) {
        TIERFS_ASSIGN(in_lower, HasLowerOnly(side->node));
      }
      if (in_lower) lower = side->node;
    }
    if (lower) {
      if (exclusive.owns_lock()) exclusive.unlock();
      if (shared.owns_lock()) shared.unlock();
      TIERFS_TRY(lower->IsDir() ? CopyUpBeneath(lower) : CopyUp(lower));
      continue;
    }
    // Every layer that an entry or a whiteout of either name is in, or comes into: also when only some of the steps could be done.
    const AtEnd tell([&] {
      LayerMask layers(source.found.parts.bits() | target.found.parts.bits() | source.found.whiteouts.bits() |
                       target.found.whiteouts.bits());
      const bool is_dir = source.found.IsDir() || target.found.IsDir();
      for (const Side& side : {source, target}) layers = layers.With(LayerOf(DecisionFor(side.parent, side.name, is_dir).tier));
      for (const Side& side : {source, target}) {
        Tell(layers, side.parent, side.name, is_dir ? Feed::Change::kSubtree : Feed::Change::kName);
        TellLinks(side.found, Feed::Change::kName);
      }
    });
    if (exclusive.owns_lock()) return exchange ? ExchangeTrees(source, target) : RenameDirectory(source, target);
    TIERFS_ASSIGN(const Attempt attempt, exchange ? ExchangeFiles(source, target, moved) : RenameFile(source, target, moved, copy, mapped));
    if (attempt == Attempt::kDone) return {};
    if (attempt == Attempt::kLookAgain) continue;
    const LayerIndex tier = LayerOf(DecisionFor(to, to_name, false).tier);
    shared.unlock();
    copy.reset();
    auto made = Stage(source.node, tier);
    mapped = !made && made.error().code == ETXTBSY;
    if (made) {
      copy.emplace(std::move(*made));
      continue;
    }
    const int error = made.error().code;
    const bool changed = error == ENOENT || error == ESTALE || error == EBUSY;  // it may be elsewhere by now, be no more, or be open
    if (!changed && !mapped) return tl::unexpected(made.error());
  }
}

Result<Tree::Attempt> Tree::RenameFile(const Side& source, const Side& target, std::uint64_t moved, std::optional<Staged>& copy,
                                       bool mapped) {
  const NodePtr& node = source.node;
  const NodePtr& replaced = target.node;
  if (!node) return Fail(ESTALE, "rename of an unknown file");
  const LockBoth lock(node.get(), replaced.get());
  if (nodes_.Moved() != moved) return Attempt::kLookAgain;
  if (!(source.found.key == nodes_.KeyOf(*node)) || (replaced && !(target.found.key == nodes_.KeyOf(*replaced)))) {
    return Fail(ESTALE, "rename of what was replaced underneath");
  }
  const LayerIndex home = source.found.parts.First();
  const LayerIndex tier = LayerOf(DecisionFor(target.parent, target.name, false).tier);
  const bool across = !mapped && !layers_.SameMount(home, tier) && MayBeMoved(*node, source.found.st);
  if (across && !copy) return Attempt::kCopyFirst;
  // A file that is changed all the time is not copied again and again: it goes on as an open one does.
  const bool publish = across && copy->tier == tier && StillTheFile(*copy);
  const LayerIndex place = publish || layers_.SameMount(home, tier) ? tier : home;

  TIERFS_ASSIGN(const bool lower, LowerShows(source.parent, source.name));
  const LayerIndex class_of_source = lower ? LayerOf(DecisionFor(source.parent, source.name, false).tier) : kNoLayer;
  std::vector<Action> actions;
  const auto at_source = [&](Step::Kind kind, LayerIndex layer) { actions.push_back({kind, layer, source.parent, source.name}); };
  if (publish) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(source.parent, home));
    TIERFS_TRY(MayBeRemoved(dir->get(), source.name));
    actions.push_back({Step::Kind::kPublish, tier, nullptr, copy->file.name(), tier, target.parent, target.name});
    at_source(Step::Kind::kRemove, home);
    if (lower) at_source(Step::Kind::kWhiteout, class_of_source);
  } else {
    const auto kind = lower && class_of_source == home ? Step::Kind::kRenameWhiteout : Step::Kind::kRename;
    actions.push_back({kind, home, source.parent, source.name, place, target.parent, target.name});
    if (lower && kind == Step::Kind::kRename) at_source(Step::Kind::kWhiteout, class_of_source);
  }
  // What stood at the target in another tier, and the marks that hid a lower entry there.
  LayerMask also = target.found.whiteouts;
  if (target.found.Exists()) also = also.With(target.found.parts.First());
  for (const LayerIndex layer : also.InTiers().Without(place)) {
    actions.push_back({Step::Kind::kRemove, layer, target.parent, target.name});
  }

  const LayerIndex replaced_in = target.found.parts.First();
  if (replaced) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, replaced_in));
    TIERFS_TRY(Pin(replaced, dir->get(), target.name));
  }
  BackingKey key;
  UniqueFd old;  // its inode number is not used again before the node has let go of it
  if (publish) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(source.parent, home));
    TIERFS_ASSIGN(old, OpenEntry(dir->get(), source.name, O_PATH));
    key = layers_.KeyOf(tier, copy->file.st());
    nodes_.Expect(node, key);
  }
  {
    // Another name in the same layer, and nothing else to do: nobody can miss it.
    std::optional<Moves::UnderWay> under_way;
    if (place != home || actions.size() > 1) under_way.emplace(moves_);
    const Status done = Perform(std::string("rename of ") + source.name + " to " + target.name, actions);
    if (!done && publish) nodes_.Unexpect(node, key);
    TIERFS_TRY(done);
    if (publish) {
      copy->file.Published();
      nodes_.Rekey(node, key, LayerMask::Only(tier));
    }
    nodes_.Renamed(node, target.parent, target.name, LayerMask::Only(place), source.parent, source.name);
  }
  if (replaced) NameGone(replaced, target.parent, target.name);
  if (!publish) RememberLinks(source.found.key, source.found.st, place);
  // One with other names stays where they are.
  if (place == tier) {
    NothingToSettle(node);
  } else if (source.found.st.st_nlink == 1) {
    MoveAtClose(node);
  }
  return Attempt::kDone;
}

Result<Tree::Attempt> Tree::ExchangeFiles(const Side& source, const Side& target, std::uint64_t moved) {
  const NodePtr& a = source.node;
  const NodePtr& b = target.node;
  if (!a || !b) return Fail(ESTALE, "exchange of an unknown entry");
  const LockBoth lock(a.get(), b.get());
  if (nodes_.Moved() != moved) return Attempt::kLookAgain;
  if (!(source.found.key == nodes_.KeyOf(*a)) || !(target.found.key == nodes_.KeyOf(*b))) {
    return Fail(ESTALE, "exchange of what was replaced underneath");
  }
  const LayerIndex a_layer = source.found.parts.First();
  const LayerIndex b_layer = target.found.parts.First();
  // Each takes the other's place, and with it its tier.
  if (!layers_.SameMount(a_layer, b_layer)) return Fail(EXDEV, "exchange between file systems");
  {
    const Moves::UnderWay under_way(moves_);
    TIERFS_TRY(Perform(std::string("exchange of ") + source.name + " and " + target.name,
                       {{Step::Kind::kExchange, a_layer, source.parent, source.name, b_layer, target.parent, target.name}}));
    nodes_.Renamed(a, target.parent, target.name, LayerMask::Only(b_layer), source.parent, source.name);
    nodes_.Renamed(b, source.parent, source.name, LayerMask::Only(a_layer), target.parent, target.name);
  }
  RememberLinks(source.found.key, source.found.st, b_layer);
  RememberLinks(target.found.key, target.found.st, a_layer);
  // Where one of them was misplaced, the other is now.
  for (const NodePtr& node : {a, b}) {
    if (node->Placement() == LayerOf(DecisionOfNode(*node).tier)) {
      NothingToSettle(node);
    } else {
      MoveAtClose(node);
    }
  }
  return Attempt::kDone;
}

}  // namespace tierfs
