// Copies: of a lower file into the tier that its path belongs to, under the same inode number, and of a file that goes to another mount.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/os/writers.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

// Whether a closed file is written by a mapping that outlived its descriptor. The kernel lets go of a file some time after its close.
bool StaysMapped(int dir, const char* name) {
  constexpr int kTries = 20;
  const auto file = OpenEntry(dir, name, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file) return false;
  for (int i = 0; i < kTries; ++i) {
    if (!HasWriters(file->get(), false)) return false;
    ::usleep(1000);
  }
  return true;
}

}  // namespace

Result<Tree::Staged> Tree::Stage(const NodePtr& node, LayerIndex tier, off_t limit) {
  Fault::Here("copy.wanted");
  Location source;
  BackingKey key;
  std::uint32_t changes = 0;
  {
    const SharedTopology topology(topology_);
    const std::lock_guard lock(node->mutex);
    TIERFS_ASSIGN(source, LocateLocked(node, node->Placement()));
    if (IsTier(source.layer) && node->open.Any()) return Fail(EBUSY, "open");
    key = nodes_.KeyOf(*node);
    changes = node->changes;
  }
  TIERFS_ASSIGN(const struct stat st,
                source.name.empty() ? StatFd(source.DirOrFile()) : StatEntry(source.DirOrFile(), source.name.c_str()));
  if (!(layers_.KeyOf(source.layer, st) == key)) return Fail(ESTALE, "replaced underneath");
  // Who opens it for writing from now on counts as a change.
  if (IsTier(source.layer) && S_ISREG(st.st_mode) && StaysMapped(source.DirOrFile(), source.name.c_str())) {
    const std::lock_guard lock(node->mutex);
    if (node->open.Any() || node->changes != changes) return Fail(EBUSY, "open");
    return Fail(ETXTBSY, "mapped");
  }
  TIERFS_ASSIGN(WorkFile file, WorkFile::CopyOf(layers_[tier], source.DirOrFile(), source.name.c_str(), limit));
  Fault::Here("copy.made");
  return Staged{std::move(file), node, key, changes, tier};
}

bool Tree::StillTheFile(const Staged& copy) const { return copy.source == nodes_.KeyOf(*copy.node) && copy.changes == copy.node->changes; }

Status Tree::CopyUp(const NodePtr& node, off_t limit) {
  if (node->IsDir()) {
    if (!node->Parts().InTiers().Empty()) return {};
    const SharedTopology topology(topology_);
    TIERFS_ASSIGN(const DirFd made, OpenDirForWriting(node, LayerOf(DecisionOfNode(*node).tier)));
    return {};
  }
  if (IsTier(node->Placement())) return {};
  const Turns::Turn turn(copying_up_, node->id);
  for (;;) {
    LayerIndex tier = kNoLayer;
    {
      const SharedTopology topology(topology_);
      if (IsTier(node->Placement())) return {};  // somebody else did it while we waited
      tier = LayerOf(DecisionOfNode(*node).tier);
    }
    auto copy = Stage(node, tier, limit);
    if (!copy && copy.error().code == ENOENT) {
      // Renamed or removed between looking where it is and opening it there; a lower file itself does not go away.
      const SharedTopology topology(topology_);
      if (const auto there = StatNode(node); !there) return tl::unexpected(there.error());
      continue;
    }
    if (!copy) return tl::unexpected(copy.error());
    TIERFS_ASSIGN(const bool published, PublishCopyUp(node, *copy));
    if (published) return {};
  }
}

bool Tree::HasToBeCopiedUp(NodeId id) const {
  const NodePtr node = nodes_.Get(id);
  return node && !node->IsDir() && !IsTier(node->Placement());
}

bool Tree::RenamesMayCopy() const {
  if (layers_.size() > kTierCount) return true;
  for (LayerIndex tier = 1; tier < kTierCount; ++tier) {
    if (!layers_.SameMount(0, tier)) return true;
  }
  return false;
}

Result<bool> Tree::PublishCopyUp(const NodePtr& node, Staged& copy) {
  const SharedTopology topology(topology_);
  const std::lock_guard lock(node->mutex);
  if (LayerOf(DecisionOfNode(*node).tier) != copy.tier) return false;
  const BackingKey key = layers_.KeyOf(copy.tier, copy.file.st());
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (!place.parent) {
    // Unlinked meanwhile: it lives on without a name, in the tier's file system.
    TIERFS_ASSIGN(node->pinned, OpenEntry(copy.file.dir(), copy.file.name().c_str(), O_PATH));
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
    FollowContent(node);
    return true;
  }
  TIERFS_ASSIGN(const Found found, Resolve(place.parent, place.name.c_str()));
  if (!found.Exists() || !(found.key == copy.source)) return Fail(ESTALE, "the lower file shows no more");
  const AtEnd tell([&] { Tell(LayerMask::Only(copy.tier), place.parent, place.name, Feed::Change::kContent); });
  TIERFS_ASSIGN(const DirFd dir, OpenDirForWriting(place.parent, copy.tier));
  // The directory as the user sees it gains nothing: its time stays.
  const KeepTime keep(dir->get());
  nodes_.Expect(node, key);
  {
    const Moves::UnderWay under_way(moves_);
    if (::renameat2(copy.file.dir(), copy.file.name().c_str(), dir->get(), place.name.c_str(), RENAME_NOREPLACE) != 0) {
      const int error = errno;
      nodes_.Unexpect(node, key);
      return Fail(error, "publishing a copy");
    }
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
    copy.file.Published();
  }
  Fault::Here("copyup.published");
  FollowContent(node);
  return true;
}

}  // namespace tierfs
