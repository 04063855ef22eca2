#include "fs/tree/copies.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

// Whether a mapping that outlived its descriptor writes to a closed file. Retries, because the
// kernel releases a file some time after its close.
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

Result<Staged> Copies::Stage(const NodePtr& node, LayerIndex tier, off_t limit) {
  Fault::Here("copy.wanted");
  Location source;
  BackingKey key;
  std::uint32_t changes = 0;
  {
    const ReadLock topology(topology_);
    const Lock lock(node->mutex);
    TIERFS_ASSIGN(source, directories_.LocateLocked(node, node->Placement()));
    if (IsTier(source.layer) && node->open.Any()) return Fail(EBUSY, "open");
    key = nodes_.KeyOf(*node);
    changes = node->changes;
  }
  TIERFS_ASSIGN(const struct stat st,
                source.name.empty() ? StatFd(source.DirOrFile()) : StatEntry(source.DirOrFile(), source.name.c_str()));
  if (!(layers_.KeyOf(source.layer, st) == key)) return Fail(ESTALE, "replaced underneath");
  // From here on, an open for writing shows in Node::changes.
  if (IsTier(source.layer) && S_ISREG(st.st_mode) && StaysMapped(source.DirOrFile(), source.name.c_str())) {
    const Lock lock(node->mutex);
    if (node->open.Any() || node->changes != changes) return Fail(EBUSY, "open");
    return Fail(ETXTBSY, "mapped");
  }
  TIERFS_ASSIGN(WorkFile file, WorkFile::CopyOf(layers_[tier], source.DirOrFile(), source.name.c_str(), limit));
  Fault::Here("copy.made");
  return Staged{std::move(file), node, key, changes, tier};
}

bool Copies::IsCurrent(const Staged& copy, const NodePtr& node) const {
  return copy.node == node && copy.source == nodes_.KeyOf(*node) && copy.changes == node->changes;
}

Status Copies::CopyUp(const NodePtr& node, off_t limit) {
  if (node->IsDir()) {
    if (!node->Parts().InTiers().Empty()) return {};
    const ReadLock topology(topology_);
    TIERFS_ASSIGN(const DirFd made, directories_.OpenForWriting(node, classifier_.HomeOf(*node)));
    return {};
  }
  if (IsTier(node->Placement())) return {};
  const KeyedMutex::Holder turn(copying_up_, node->id);
  for (;;) {
    LayerIndex tier = kNoLayer;
    {
      const ReadLock topology(topology_);
      if (IsTier(node->Placement())) return {};  // another thread did it meanwhile
      tier = classifier_.HomeOf(*node);
    }
    auto copy = Stage(node, tier, limit);
    if (!copy && copy.error().code == ENOENT) {
      // The file was renamed or removed before it could be opened. A lower file itself does not go
      // away.
      const ReadLock topology(topology_);
      if (const auto there = directories_.Stat(node); !there) return tl::unexpected(there.error());
      continue;
    }
    if (!copy) return tl::unexpected(copy.error());
    TIERFS_ASSIGN(const bool published, Publish(node, *copy));
    if (published) return {};
  }
}

Status Copies::CopyUpBeneath(const NodePtr& directory) {
  TIERFS_TRY(CopyUp(directory));
  if (directory->Parts().InLower().Empty()) return {};
  TIERFS_ASSIGN(const auto entries, view_.List(directory->id));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name == "." || entry.name == "..") continue;
    TIERFS_ASSIGN(const Entry found, view_.Lookup(directory->id, entry.name.c_str()));
    if (found.id.value == 0) continue;  // gone meanwhile
    const NodePtr node = nodes_.Get(found.id);
    const Status done = node->IsDir() ? CopyUpBeneath(node) : CopyUp(node);
    nodes_.Forget(found.id, 1);
    if (!done && done.error().code == ESTALE) continue;  // renamed or removed meanwhile
    TIERFS_TRY(done);
  }
  return {};
}

bool Copies::HasToBeCopiedUp(NodeId id) const {
  const NodePtr node = nodes_.Get(id);
  return node && !node->IsDir() && !IsTier(node->Placement());
}

// False when the file has moved meanwhile to a place with another class tier.
Result<bool> Copies::Publish(const NodePtr& node, Staged& copy) {
  const ReadLock topology(topology_);
  const Lock lock(node->mutex);
  if (classifier_.HomeOf(*node) != copy.tier) return false;
  const BackingKey key = layers_.KeyOf(copy.tier, copy.file.st());
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (place.parent) {
    TIERFS_TRY(PublishAt(node, place, key, copy));
  } else {
    // The file was unlinked meanwhile. It lives on without a name in the file system of the tier.
    TIERFS_ASSIGN(node->pinned, OpenEntry(copy.file.dir(), copy.file.name().c_str(), O_PATH));
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
  }
  open_files_.FollowContent(node);
  return true;
}

Status Copies::PublishAt(const NodePtr& node, const NodeTable::Place& place, const BackingKey& key, Staged& copy) {
  TIERFS_ASSIGN(const Found found, view_.Find(place.parent, place.name.c_str()));
  if (!found.Exists() || !(found.key == copy.source)) return Fail(ESTALE, "the lower file no longer shows");
  const AtEnd report([&] { reporter_.Report(LayerMask::Only(copy.tier), place.parent, place.name, Feed::Change::kContent); });
  TIERFS_ASSIGN(const DirFd dir, directories_.OpenForWriting(place.parent, copy.tier));
  // The directory gains no entry in the view of the user, so its time stays.
  const KeepTime keep(dir->get());
  nodes_.Reserve(node, key);
  {
    const Relocations::UnderWay under_way(view_.relocations());
    const Status done = RenameEntry(copy.file.dir(), copy.file.name().c_str(), dir->get(), place.name.c_str(), RENAME_NOREPLACE);
    if (!done) nodes_.Unreserve(node, key);
    TIERFS_TRY(done);
    nodes_.Rekey(node, key, LayerMask::Only(copy.tier));
    copy.file.Published();
  }
  Fault::Here("copyup.published");
  return {};
}

}  // namespace tierfs
