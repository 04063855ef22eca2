// Looks names up: finds the layers that hold an entry, and merges them.
#include "fs/tree/merged_view.h"

#include <climits>
#include <cstring>

#include "fs/os/keep_time.h"
#include "fs/tier/merge_rule.h"
#include "fs/tier/whiteouts.h"

namespace tierfs {
namespace {

// Whether a directory was found. Only then may a user see a date that KeepTime is restoring.
constexpr auto kShowsDirectory = [](const auto& found) { return found && found->IsDir(); };

}  // namespace

Result<Held> MergedView::Look(const NodePtr& parent, LayerIndex layer, const char* name, struct stat& st) {
  const auto dir = directories_.Open(parent, layer);
  // A part that was removed underneath holds nothing.
  if (!dir) return dir.error().code == ENOENT ? Result<Held>(Held::kNothing) : tl::unexpected(dir.error());
  const auto there = StatEntry((**dir).get(), name);
  if (!there) {
    const int error = there.error().code;
    return error == ENOENT || error == ESTALE ? Result<Held>(Held::kNothing) : tl::unexpected(there.error());
  }
  st = *there;
  return HeldAs(st);
}

Result<Found> MergedView::FindOnce(const NodePtr& parent, const char* name) {
  if (std::strlen(name) > NAME_MAX) return Fail(ENAMETOOLONG, "name");
  const LayerMask layers = parent->Parts();
  // The class matters only if several tiers can hold the name.
  const LayerIndex home = layers.InTiers().Single() ? kNoLayer : classifier_.HomeOf(parent, name, false);
  struct stat stats[kMaxLayers];
  TIERFS_ASSIGN(const MergeRule rule, Merge(layers, home, [&](LayerIndex layer) -> Result<Held> {
                  TIERFS_ASSIGN(const Held held, Look(parent, layer, name, stats[layer]));
                  const bool lowest = LayerMask(layers.bits() >> layer >> 1).Empty();
                  if (held != Held::kDirectory || IsTier(layer) || lowest) return held;
                  TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, layer));
                  TIERFS_ASSIGN(const bool opaque, IsOpaque(dir->get(), name));
                  return opaque ? Held::kOpaqueDirectory : held;
                }));
  Found found;
  if (rule.Shows()) found = Found::File(layers_, rule.parts().First(), stats[rule.parts().First()]);
  found.parts = rule.parts();
  found.whiteouts = rule.whiteouts();
  if (rule.ShowsDirectory()) {
    MergedStat merged;
    for (const LayerIndex layer : rule.parts()) {
      if (IsTier(layer) || !merged.Finished()) merged.Add(stats[layer]);
    }
    found.st = merged.Get();
  }
  return found;
}

Result<Found> MergedView::Find(const NodePtr& parent, const char* name) {
  const auto look = [&] { return KeepTime::Undisturbed([&] { return FindOnce(parent, name); }, kShowsDirectory); };
  for (;;) {
    const std::uint64_t generation = nodes_.Generation();
    const std::uint64_t before = relocations_.Count();
    TIERFS_ASSIGN(Found found, look());
    // A file that moves to a tier already searched would seem to be gone, or the entry that it
    // hides would show.
    if (found.parts.InTiers().Empty() && !relocations_.NoneSince(before)) {
      TIERFS_ASSIGN(found, look());
      if (found.parts.InTiers().Empty() && relocations_.Count() != before) continue;
    }
    found.generation = generation;
    return found;
  }
}

Result<std::uint64_t> MergedView::FindAll(std::initializer_list<Side*> sides) {
  for (;;) {
    const std::uint64_t generation = nodes_.Generation();
    for (Side* side : sides) {
      TIERFS_ASSIGN(side->found, Find(side->parent, side->name));
      side->node = side->found.Exists() ? directories_.Find(side->found) : nullptr;
    }
    if (nodes_.Generation() == generation) return generation;
  }
}

Result<bool> MergedView::LowerShows(const NodePtr& parent, const char* name) {
  MergeRule rule;
  for (const LayerIndex layer : parent->Parts().InLower()) {
    if (rule.Shows() || !rule.Wants(layer)) break;
    TIERFS_ASSIGN(const DirFd dir, directories_.Open(parent, layer));
    const auto st = StatEntry(dir->get(), name);
    if (!st && st.error().code != ENOENT) return tl::unexpected(st.error());
    rule.Take(layer, st ? HeldAs(*st) : Held::kNothing);
  }
  return rule.Shows();
}

Result<bool> MergedView::HasLowerOnly(const NodePtr& directory) {
  if (directory->Parts().InLower().Empty()) return false;
  TIERFS_ASSIGN(const PartFds parts, directories_.OpenParts(directory));
  return ShowsLowerOnly(parts);
}

Result<Entry> MergedView::Lookup(NodeId parent_id, const char* name) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  for (;;) {
    TIERFS_ASSIGN(const Found found, Find(parent, name));
    if (!found.Exists()) return answers_.Absent();
    if (const NodePtr node = directories_.Reference(parent, name, found)) {
      return answers_.EntryOf(*node, found.st);
    }
  }
}

Result<NodePtr> MergedView::Acquire(const NodePtr& directory, const std::string& name) {
  const ReadLock topology(topology_);
  if (!directory->IsDir()) return Fail(ENOTDIR, "not a directory");
  for (;;) {
    TIERFS_ASSIGN(const Found found, Find(directory, name.c_str()));
    if (!found.Exists()) return NodePtr();
    if (NodePtr node = directories_.Hold(directory, name.c_str(), found)) return node;
  }
}

Result<NodePtr> MergedView::AcquirePath(const std::string& path) {
  NodePtr at = nodes_.root();
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (name.empty()) continue;
    const auto next = Acquire(at, name);
    Release(at);
    if (!next) return tl::unexpected(next.error());
    if (!*next) return Fail(ENOENT, "no such path");
    at = *next;
  }
  return at;
}

void MergedView::Release(const NodePtr& node) {
  if (node != nodes_.root()) nodes_.Forget(node->id, 1);
}

}  // namespace tierfs
