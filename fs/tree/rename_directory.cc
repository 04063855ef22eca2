// Renames and exchanges of directories.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "fs/tree/renames.h"

namespace tierfs {

Status Renames::RefreshParts(const NodePtr& directory) {
  const auto top = nodes_.PathOf(*directory);
  if (!top) return {};
  std::vector<std::pair<std::string, NodePtr>> beneath;
  for (const NodePtr& node : nodes_.All()) {
    if (!node->IsDir()) continue;
    const auto path = nodes_.PathOf(*node);
    if (path && (node == directory || path->rfind(*top + "/", 0) == 0)) beneath.emplace_back(*path, node);
  }
  std::sort(beneath.begin(), beneath.end());  // a directory before its entries
  Status refreshed;
  for (const auto& [path, node] : beneath) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    if (!place.parent) continue;  // the kernel has forgotten it meanwhile
    const auto found = view_.Find(place.parent, place.name.c_str());
    if (found && found->IsDir()) nodes_.Renamed(node, place.parent, place.name, found->parts);
    if (!found && refreshed) refreshed = tl::unexpected(found.error());
  }
  return refreshed;
}

void Renames::FinishDirectory(const NodePtr& node, const Side& place, LayerMask parts, bool lower) {
  const Classifier::Place before = classifier_.PlaceOf(node);
  nodes_.Renamed(node, place.parent, place.name, parts);
  const Classifier::Place after = classifier_.PlaceOf(node);
  if (lower) {
    // Entries in lower layers do not move with the directory.
    directories_.ForgetAll();
    // A whiteout is known to be stray only if all the parts are known.
    Status dropped = RefreshParts(node);
    if (dropped) dropped = whiteouts_.DropStray(node);
    if (!dropped) {
      spdlog::warn("whiteouts in {}: {} ({})", place.name, std::strerror(dropped.error().code), dropped.error().step);
    }
  }
  // The directory itself belongs to the tier of its new path, even if it is empty. A full disk must
  // not make the rename fail: settling adds the part once it can.
  const auto home = directories_.OpenForWriting(node, after.Home());
  if (!home || !before.SameClassesAs(after) || settle_queue_.Pending() > 0) settle_queue_.DirectoryMoved(node);
}

std::vector<Action> Renames::DirectoryActions(const Side& source, const Side& target, bool lower_target) const {
  const LayerMask parts = source.found.parts.InTiers();
  const LayerMask taken = LayerMask(target.found.parts.InTiers().bits() | target.found.whiteouts.bits());
  std::vector<Action> actions;
  std::vector<Action> clean_up;
  for (const LayerIndex layer : parts) {
    // A rename replaces an empty directory. A directory that holds whiteouts, or a whiteout, is
    // exchanged with the source and removed afterwards.
    const bool exchanged = taken.Has(layer) && (!target.found.parts.Has(layer) || lower_target);
    const auto kind = exchanged ? Step::Kind::kExchange : Step::Kind::kRename;
    actions.push_back({kind, layer, source.parent, source.name, layer, target.parent, target.name});
    if (exchanged) clean_up.push_back({Step::Kind::kRemove, layer, source.parent, source.name});
  }
  for (const LayerIndex layer : LayerMask(taken.bits() & ~parts.bits())) {
    clean_up.push_back({Step::Kind::kRemove, layer, target.parent, target.name});
  }
  actions.insert(actions.end(), clean_up.begin(), clean_up.end());
  return actions;
}

Status Renames::RenameDirectory(const Side& source, const Side& target) {
  const NodePtr& node = source.node;
  const NodePtr& replaced = target.node;
  if (!node) return Fail(ESTALE, "rename of an unknown directory");
  TIERFS_ASSIGN(const bool lower_source, view_.LowerShows(source.parent, source.name));
  TIERFS_ASSIGN(const bool lower_target, view_.LowerShows(target.parent, target.name));
  if (lower_target) TIERFS_TRY(whiteouts_.HideBeneath(node, target));

  std::vector<Action> actions = DirectoryActions(source, target, lower_target);
  if (lower_source) {
    actions.push_back({Step::Kind::kWhiteout, classifier_.HomeOf(source.parent, source.name, true), source.parent, source.name});
  }
  if (replaced) {
    const Lock lock(replaced->mutex);
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(target.parent, target.found.Layer()));
    TIERFS_TRY(Names::Pin(replaced, dir->get(), target.name));
  }
  TIERFS_TRY(transactions_.Perform(std::string("rename of the directory ") + source.name + " to " + target.name, actions));
  if (replaced) {
    nodes_.Unlinked(replaced, target.parent, target.name, true);
    directories_.Forget(*replaced);
  }
  FinishDirectory(node, target, source.found.parts.InTiers(), lower_target || !source.found.parts.InLower().Empty());
  return {};
}

Status Renames::ExchangeTrees(const Side& source, const Side& target) {
  const NodePtr& a = source.node;
  const NodePtr& b = target.node;
  if (!a || !b) return Fail(ESTALE, "exchange of an unknown entry");
  TIERFS_ASSIGN(const bool lower_source, view_.LowerShows(source.parent, source.name));
  TIERFS_ASSIGN(const bool lower_target, view_.LowerShows(target.parent, target.name));
  if (a->IsDir() && lower_target) TIERFS_TRY(whiteouts_.HideBeneath(a, target));
  if (b->IsDir() && lower_source) TIERFS_TRY(whiteouts_.HideBeneath(b, source));
  for (const Side* side : {&source, &target}) TIERFS_TRY(whiteouts_.Remove(side->parent, side->name, side->found.whiteouts));

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
  TIERFS_TRY(transactions_.Perform(std::string("exchange of ") + source.name + " and " + target.name, actions));
  directories_.ForgetAll();
  const bool lower = lower_source || lower_target || !source.found.parts.InLower().Empty() || !target.found.parts.InLower().Empty();
  struct Moved {
    const Side& from;
    const Side& to;
    LayerMask parts;
  };
  const Moved moved[] = {{source, target, a_parts}, {target, source, b_parts}};
  // Both nodes get their new places before either is searched.
  for (const auto& [from, to, parts] : moved) nodes_.Renamed(from.node, to.parent, to.name, parts, from.parent, from.name);
  for (const auto& [from, to, parts] : moved) {
    const NodePtr& node = from.node;
    if (node->IsDir()) {
      FinishDirectory(node, to, parts, lower);
      settle_queue_.DirectoryMoved(node);
      continue;
    }
    const Lock lock(node->mutex);
    if (node->Placement() != classifier_.HomeOf(*node)) settle_queue_.Misplaced(node);
  }
  return {};
}

}  // namespace tierfs
