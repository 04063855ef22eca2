// Directories in their new place: a rename or an exchange is done in each tier that has a part of them.
//
// What is in lower layers alone was copied up before; at the new place whiteouts hide what lower layers have there. Both are done where
// nobody sees them: the topology is locked exclusively.
#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "fs/os/beneath.h"
#include "fs/tier/merge.h"
#include "fs/tree/tree.h"

namespace tierfs {

Result<PartFds> Tree::OpenParts(const NodePtr& directory) {
  PartFds parts;
  for (const LayerIndex layer : directory->Parts()) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(directory, layer));
    TIERFS_ASSIGN(UniqueFd real, OpenEntry(dir->get(), ".", O_RDONLY | O_DIRECTORY));
    (IsTier(layer) ? parts.tiers : parts.lower).push_back(std::move(real));
  }
  return parts;
}

Result<bool> Tree::HasLowerOnly(const NodePtr& directory) {
  if (directory->Parts().InLower().Empty()) return false;
  TIERFS_ASSIGN(const PartFds parts, OpenParts(directory));
  return ShowsLowerOnly(parts);
}

Status Tree::CopyUpBeneath(const NodePtr& directory) {
  TIERFS_TRY(CopyUp(directory));
  if (directory->Parts().InLower().Empty()) return {};
  TIERFS_ASSIGN(const auto entries, List(directory->id));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name == "." || entry.name == "..") continue;
    TIERFS_ASSIGN(const Entry found, Lookup(directory->id, entry.name.c_str()));
    if (found.id.value == 0) continue;  // gone meanwhile
    const NodePtr node = nodes_.Get(found.id);
    const Status done = node->IsDir() ? CopyUpBeneath(node) : CopyUp(node);
    nodes_.Forget(found.id, 1);
    if (!done && done.error().code == ESTALE) continue;  // renamed or removed meanwhile
    TIERFS_TRY(done);
  }
  return {};
}

Status Tree::HideBeneath(const NodePtr& directory, const Side& place) {
  PartFds parts;
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(directory, layer));
    TIERFS_ASSIGN(UniqueFd real, OpenEntry(dir->get(), ".", O_RDONLY | O_DIRECTORY));
    parts.tiers.push_back(std::move(real));
  }
  TIERFS_ASSIGN(const PartFds above, OpenParts(place.parent));
  TIERFS_ASSIGN(parts.lower, LowerDirectories(above.lower, place.name));
  // In its class tier, where it has a part there.
  const LayerIndex home = LayerOf(DecisionFor(place.parent, place.name, true).tier);
  std::size_t index = 0;
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    if (layer == home) break;
    ++index;
  }
  return HideLower(parts, index == parts.tiers.size() ? 0 : index);
}

void Tree::RefreshParts(const NodePtr& directory) {
  const auto top = nodes_.PathOf(*directory);
  if (!top) return;
  std::vector<std::pair<std::string, NodePtr>> beneath;
  for (const NodePtr& node : nodes_.All()) {
    if (!node->IsDir()) continue;
    const auto path = nodes_.PathOf(*node);
    if (path && (node == directory || path->rfind(*top + "/", 0) == 0)) beneath.emplace_back(*path, node);
  }
  std::sort(beneath.begin(), beneath.end());  // a directory before what is in it
  for (const auto& [path, node] : beneath) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    const auto found = Resolve(place.parent, place.name.c_str());
    if (found && found->IsDir()) nodes_.Renamed(node, place.parent, place.name, found->parts);
  }
}

Status Tree::DropStrayWhiteouts(const NodePtr& directory) {
  TIERFS_ASSIGN(const PartFds parts, OpenParts(directory));
  return DropStrayWhiteoutsBeneath(parts);
}

void Tree::FinishRename(const NodePtr& node, const Side& place, LayerMask parts, bool lower) {
  const PolicyState policy = Policy();
  const policy::State before = nodes_.StateOf(*node, *policy.policy, policy.epoch);
  nodes_.Renamed(node, place.parent, place.name, parts);
  const policy::State after = nodes_.StateOf(*node, *policy.policy, policy.epoch);
  if (lower) {
    // What is in lower layers does not move with it.
    dirs_.Clear();
    RefreshParts(node);
    if (const Status dropped = DropStrayWhiteouts(node); !dropped) {
      spdlog::warn("whiteouts in {}: {} ({})", place.name, std::strerror(dropped.error().code), dropped.error().step);
    }
  }
  // The directory itself belongs to the tier of its new path too, also when it is empty. A full disk is no reason to say that it was not
  // renamed: settling makes the part once it can.
  const auto home = OpenDirForWriting(node, LayerOf(policy.policy->DecisionOf(after).tier));
  if (!home || !policy.policy->Equivalent(before, after) || settler_.Pending() > 0) ContentChangedClass(node);
}

Status Tree::RenameDirectory(const Side& source, const Side& target) {
  const NodePtr& node = source.node;
  const NodePtr& replaced = target.node;
  if (!node) return Fail(ESTALE, "rename of an unknown directory");
  TIERFS_ASSIGN(const bool lower_source, LowerShows(source.parent, source.name));
  TIERFS_ASSIGN(const bool lower_target, LowerShows(target.parent, target.name));
  if (lower_target) TIERFS_TRY(HideBeneath(node, target));

  const LayerMask parts = source.found.parts.InTiers();
  const LayerMask taken = LayerMask(target.found.parts.InTiers().bits() | target.found.whiteouts.bits());
  std::vector<Action> actions;
  std::vector<Action> clean_up;
  for (const LayerIndex layer : parts) {
    // The rename itself replaces an empty directory; what holds whiteouts, or is one, changes places with it and goes then.
    const bool exchanged = taken.Has(layer) && (!target.found.parts.Has(layer) || lower_target);
    const auto kind = exchanged ? Step::Kind::kExchange : Step::Kind::kRename;
    actions.push_back({kind, layer, source.parent, source.name, layer, target.parent, target.name});
    if (exchanged) clean_up.push_back({Step::Kind::kRemove, layer, source.parent, source.name});
  }
  for (const LayerIndex layer : LayerMask(taken.bits() & ~parts.bits())) {
    clean_up.push_back({Step::Kind::kRemove, layer, target.parent, target.name});
  }
  actions.insert(actions.end(), clean_up.begin(), clean_up.end());
  if (lower_source) {
    actions.push_back({Step::Kind::kWhiteout, LayerOf(DecisionFor(source.parent, source.name, true).tier), source.parent, source.name});
  }
  if (replaced) {
    const std::lock_guard lock(replaced->mutex);
    TIERFS_ASSIGN(const DirFd dir, OpenDir(target.parent, target.found.parts.First()));
    TIERFS_TRY(Pin(replaced, dir->get(), target.name));
  }
  TIERFS_TRY(Perform(std::string("rename of the directory ") + source.name + " to " + target.name, actions));
  if (replaced) {
    nodes_.Unlinked(replaced, target.parent, target.name, true);
    dirs_.Drop(replaced->id);
  }
  FinishRename(node, target, parts, lower_target || !source.found.parts.InLower().Empty());
  return {};
}

Status Tree::ExchangeTrees(const Side& source, const Side& target) {
  const NodePtr& a = source.node;
  const NodePtr& b = target.node;
  if (!a || !b) return Fail(ESTALE, "exchange of an unknown entry");
  TIERFS_ASSIGN(const bool lower_source, LowerShows(source.parent, source.name));
  TIERFS_ASSIGN(const bool lower_target, LowerShows(target.parent, target.name));
  if (a->IsDir() && lower_target) TIERFS_TRY(HideBeneath(a, target));
  if (b->IsDir() && lower_source) TIERFS_TRY(HideBeneath(b, source));
  for (const Side* side : {&source, &target}) TIERFS_TRY(RemoveWhiteouts(side->parent, side->name, side->found.whiteouts));

  const LayerMask a_parts = source.found.parts.InTiers();
  const LayerMask b_parts = target.found.parts.InTiers();
  std::vector<Action> actions;
  for (const LayerIndex layer : LayerMask(a_parts.bits() | b_parts.bits())) {
    if (a_parts.Has(layer)) {
      const auto kind = b_parts.Has(layer) ? Step::Kind::kExchange : Step::Kind::kRename;
      actions.push_back({kind, layer, source.parent, source.name, layer, target.parent, target.name});
    } else {
      actions.push_back({Step::Kind::kRename, layer, target.parent, target.name, layer, source.parent, source.name});
    }
  }
  TIERFS_TRY(Perform(std::string("exchange of ") + source.name + " and " + target.name, actions));
  dirs_.Clear();
  const bool lower = lower_source || lower_target || !source.found.parts.InLower().Empty() || !target.found.parts.InLower().Empty();
  const std::pair<NodePtr, const Side*> moved[] = {{a, &target}, {b, &source}};
  // Both have their places before either is looked into.
  for (const auto& [node, place] : moved) {
    const Side& old_place = node == a ? source : target;
    nodes_.Renamed(node, place->parent, place->name, node == a ? a_parts : b_parts, old_place.parent, old_place.name);
  }
  for (const auto& [node, place] : moved) {
    if (node->IsDir()) {
      FinishRename(node, *place, node == a ? a_parts : b_parts, lower);
      ContentChangedClass(node);
    } else if (node->Placement() != LayerOf(DecisionOfNode(*node).tier)) {
      const std::lock_guard lock(node->mutex);
      MoveAtClose(node);
    }
  }
  return {};
}

}  // namespace tierfs
