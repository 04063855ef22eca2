#include "fs/tree/renames.h"

#include <linux/fs.h>
#include <stdio.h>

#include "fs/os/at_end.h"

namespace tierfs {

Status Renames::Rename(NodeId from, const char* from_name, NodeId to, const char* to_name, unsigned flags) {
  // Whiteouts are the mount's own marks: a user must not ask for RENAME_WHITEOUT.
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return Fail(EINVAL, "rename flags");
  Request request{from, from_name, to, to_name, (flags & RENAME_EXCHANGE) != 0, (flags & RENAME_NOREPLACE) == 0, {}};
  bool exclusive = false;
  // Copies are made with no lock held. Everything is then looked up again.
  for (;;) {
    Tried tried{};
    if (exclusive) {
      const Lock topology(topology_);
      TIERFS_ASSIGN(tried, Try(request, true));
    } else {
      const ReadLock topology(topology_);
      TIERFS_ASSIGN(tried, Try(request, false));
    }
    switch (tried.attempt) {
      case Attempt::kDone:
        return {};
      case Attempt::kLookAgain:
        break;
      case Attempt::kExclusive:
        exclusive = true;
        continue;
      case Attempt::kCopyUp:
        TIERFS_TRY(tried.node->IsDir() ? copies_.CopyUpBeneath(tried.node) : copies_.CopyUp(tried.node));
        break;
      case Attempt::kCopyFirst:
        TIERFS_TRY(CopyFirst(request, tried.node));
        break;
    }
    exclusive = false;
  }
}

Result<Renames::Sides> Renames::Find(const Request& request) {
  TIERFS_ASSIGN(const NodePtr from, DirectoryOf(nodes_, request.from));
  TIERFS_ASSIGN(const NodePtr to, DirectoryOf(nodes_, request.to));
  Sides sides{{from, request.from_name, {}, {}}, {to, request.to_name, {}, {}}, 0};
  TIERFS_ASSIGN(sides.generation, view_.FindAll({&sides.source, &sides.target}));
  return sides;
}

Result<Renames::Tried> Renames::Try(Request& request, bool exclusive) {
  TIERFS_ASSIGN(const Sides sides, Find(request));
  // Every path beneath a moving directory changes, so no other operation may be walking one.
  if (sides.Directories(request.exchange) && !exclusive) return Tried{Attempt::kExclusive, nullptr};
  TIERFS_TRY(MayRename(request, sides));
  // POSIX: a rename between two names of one file does nothing.
  if (sides.target.found.Exists() && sides.source.found.key == sides.target.found.key) return Tried{Attempt::kDone, nullptr};
  TIERFS_ASSIGN(const NodePtr lower, NeedsCopyUp(request, sides));
  if (lower) return Tried{Attempt::kCopyUp, lower};
  // The report also comes if only some of the steps were done.
  const AtEnd report([&] { Report(sides); });
  if (sides.Directories(request.exchange)) {
    TIERFS_TRY(request.exchange ? ExchangeTrees(sides.source, sides.target) : RenameDirectory(sides.source, sides.target));
    return Tried{Attempt::kDone, nullptr};
  }
  TIERFS_ASSIGN(const Attempt attempt, request.exchange ? ExchangeFiles(sides) : RenameFile(sides, request));
  return Tried{attempt, sides.source.node};
}

Status Renames::MayRename(const Request& request, const Sides& sides) {
  const Found& source = sides.source.found;
  const Found& target = sides.target.found;
  if (!source.Exists()) return Fail(ENOENT, "rename");
  if (!request.replace && target.Exists()) return Fail(EEXIST, "rename");
  if (request.exchange && !target.Exists()) return Fail(ENOENT, "exchange");
  if (target.Exists() && target.key != source.key && !IsTier(target.Layer())) TIERFS_TRY(names_.MayRemove(sides.target));
  if (request.exchange || !target.Exists()) return {};
  if (source.IsDir() != target.IsDir()) return Fail(target.IsDir() ? EISDIR : ENOTDIR, "rename");
  if (!source.IsDir() || source.key == target.key) return {};
  if (!sides.target.node) return Fail(ESTALE, "rename onto an unknown directory");
  TIERFS_ASSIGN(const auto entries, view_.ListParts(sides.target.node, target.parts));
  if (entries.empty()) return {};
  TIERFS_TRY(names_.MayRemove(sides.source));
  TIERFS_TRY(names_.MayRemove(sides.target));
  return Fail(ENOTEMPTY, "rename");
}

Result<NodePtr> Renames::NeedsCopyUp(const Request& request, const Sides& sides) {
  NodePtr lower;
  for (const Side* side : {&sides.source, &sides.target}) {
    if (side == &sides.target && !request.exchange) break;
    if (!side->node) return Fail(ESTALE, "rename of an unknown entry");
    bool in_lower = side->found.parts.InTiers().Empty();
    if (side->found.IsDir() && !in_lower) {
      TIERFS_ASSIGN(in_lower, view_.HasLowerOnly(side->node));
    }
    if (in_lower) lower = side->node;
  }
  if (!lower && !request.exchange && Copies::SharesLowerFile(sides.target.found)) {
    if (!sides.target.node) return Fail(ESTALE, "rename onto an unknown file");
    if (!IsTier(sides.target.node->Placement())) lower = sides.target.node;
  }
  return lower;
}

void Renames::Report(const Sides& sides) {
  LayerMask layers;
  const bool is_dir = sides.source.found.IsDir() || sides.target.found.IsDir();
  for (const Side& side : {sides.source, sides.target}) {
    layers = LayerMask(layers.bits() | side.found.parts.bits() | side.found.whiteouts.bits());
    layers = layers.With(classifier_.HomeOf(side.parent, side.name, is_dir));
  }
  for (const Side& side : {sides.source, sides.target}) {
    reporter_.Report(layers, side.parent, side.name, is_dir ? Feed::Change::kSubtree : Feed::Change::kName);
    reporter_.ReportOtherNames(side.found, Feed::Change::kName);
  }
}

Status Renames::CopyFirst(Request& request, const NodePtr& node) {
  LayerIndex tier = kNoLayer;
  {
    const ReadLock topology(topology_);
    TIERFS_ASSIGN(const NodePtr to, DirectoryOf(nodes_, request.to));
    tier = classifier_.HomeOf(to, request.to_name, false);
  }
  request.copy.reset();
  request.mapped = false;
  auto made = copies_.Stage(node, tier);
  if (made) {
    request.copy.emplace(std::move(*made));
    return {};
  }
  const int error = made.error().code;
  request.mapped = error == ETXTBSY;
  // The file may have moved, vanished or been opened meanwhile. The rename is then tried again.
  const bool changed = error == ENOENT || error == ESTALE || error == EBUSY;
  return changed || request.mapped ? Status{} : tl::unexpected(made.error());
}

}  // namespace tierfs
