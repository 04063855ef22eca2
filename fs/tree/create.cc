#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/tier/entry.h"
#include "fs/tree/names.h"

namespace tierfs {

Result<Names::Made> Names::MakeIn(LayerIndex tier, const NodePtr& parent, const char* name, bool is_dir,
                                  const std::function<Status(int dir)>& make) {
  TIERFS_ASSIGN(DirFd dir, directories_.OpenForWriting(parent, tier));
  if (parent->Parts().InLower().Empty()) {
    const Status made = make((*dir).get());
    if (made) {
      reporter_.Report(LayerMask::Only(tier), parent, name, Feed::Change::kName);
      return Made{tier, std::move(dir)};
    }
    // A whiteout may be left from a lower layer that is no longer part of the mount. open(2)
    // answers ENXIO for it, as for a device without a driver.
    if (made.error().code != EEXIST && made.error().code != ENXIO) return tl::unexpected(made.error());
    const auto there = StatEntry((*dir).get(), name);
    if (!there || !IsWhiteout(*there)) return tl::unexpected(made.error());
  }
  TIERFS_ASSIGN(const Found before, view_.Find(parent, name));
  if (before.Exists()) return Fail(EEXIST, "entry exists");
  TIERFS_ASSIGN(const LayerMask shields, whiteouts_.ClearForCreation(parent, name, tier, before.whiteouts, is_dir));
  TIERFS_TRY(make((*dir).get()));
  const AtEnd report([&] { reporter_.Report(LayerMask::Only(tier), parent, name, is_dir ? Feed::Change::kSubtree : Feed::Change::kName); });
  if (is_dir && !before.whiteouts.Empty()) TIERFS_TRY(whiteouts_.HideLowerEntries(parent, name, (*dir).get()));
  TIERFS_TRY(whiteouts_.Remove(parent, name, shields));
  return Made{tier, std::move(dir)};
}

Result<Entry> Names::MadeEntry(const NodePtr& parent, const char* name, const Made& made) {
  TIERFS_ASSIGN(const struct stat st, StatEntry((*made.dir).get(), name));
  if (!S_ISDIR(st.st_mode) || parent->Parts().InLower().Empty()) {
    return answers_.EntryOf(*directories_.Reference(parent, name, Found::File(layers_, made.layer, st)), st);
  }
  // A new directory merges with lower directories of the same name. Their entries are hidden one by
  // one.
  for (;;) {
    TIERFS_ASSIGN(const Found found, view_.Find(parent, name));
    if (!found.IsDir()) return Fail(ESTALE, "replaced underneath");
    if (const NodePtr node = directories_.Reference(parent, name, found)) return answers_.EntryOf(*node, found.st);
  }
}

Result<Entry> Names::MakeNode(const Caller& caller, NodeId parent_id, const char* name, mode_t mode, dev_t device) {
  // A character device 0:0 is a whiteout in these trees. overlayfs refuses to make one for the same
  // reason.
  if (S_ISCHR(mode) && device == 0) return Fail(EPERM, "a whiteout cannot be made through the mount");
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  const LayerIndex tier = classifier_.HomeOf(parent, name, false);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  return MakeNodeEntry(dir, name, mode, device);
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Names::MakeDirectory(const Caller& caller, NodeId parent_id, const char* name, mode_t mode) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  const LayerIndex tier = classifier_.HomeOf(parent, name, true);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, true, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  return MakeDirectoryEntry(dir, name, mode);
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Names::MakeSymlink(const Caller& caller, NodeId parent_id, const char* name, const char* target) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  const LayerIndex tier = classifier_.HomeOf(parent, name, false);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  return MakeSymlinkEntry(target, dir, name);
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Names::Link(NodeId id, NodeId parent_id, const char* name) {
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  TIERFS_TRY(copies_.CopyUp(node));
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  const Lock lock(node->mutex);
  const LayerIndex home = node->Placement();
  LayerIndex tier = classifier_.HomeOf(parent, name, false);
  if (!layers_.SameMount(home, tier)) {
    // An inode is in one tier. The new name joins it there if that tier protects at least as well
    // as the class tier of the name.
    if (home > tier) return Fail(EXDEV, "link to a better protected tier on another file system");
    tier = home;
  }
  TIERFS_ASSIGN(const Location from, directories_.LocateLocked(node, home));
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false,
                                        [&](int dir) -> Status { return LinkEntry(from.DirOrFile(), from.name.c_str(), dir, name); }));
  nodes_.Linked();
  reporter_.ReportNode(*node, Feed::Change::kName);  // the other names show the new link count
  TIERFS_ASSIGN(Entry entry, MadeEntry(parent, name, made));
  if (entry.id == node->id) node->pinned.Reset();
  // A temporary file got its first name. It may move to the class tier of that name once it is
  // closed.
  if (tier != classifier_.HomeOf(parent, name, false) && entry.attributes.st.st_nlink == 1) settle_queue_.Misplaced(node);
  return entry;
}

Result<CreatedFile> Names::Create(const Caller& caller, NodeId parent_id, const char* name, mode_t mode, int flags) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  const LayerIndex tier = classifier_.HomeOf(parent, name, false);
  UniqueFd fd;
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  TIERFS_ASSIGN(fd, OpenEntry(dir, name, OpenFiles::BackingFlags(flags) | O_CREAT | (flags & (O_EXCL | O_TRUNC)), mode));
                  return {};
                }));
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  const Found found = Found::File(layers_, made.layer, st);
  const NodePtr node = directories_.Reference(parent, name, found);
  const Lock lock(node->mutex);
  return OpenMade(node, st, std::move(fd), flags);
}

Result<CreatedFile> Names::OpenMade(const NodePtr& node, const struct stat& st, UniqueFd fd, int flags) {
  const auto opened = open_files_.Add(node, {std::move(fd), st}, flags);
  if (!opened) {
    nodes_.Forget(node->id, 1);
    return tl::unexpected(opened.error());
  }
  return CreatedFile{answers_.EntryOf(*node, st), *opened};
}

Result<CreatedFile> Names::CreateTemporary(const Caller& caller, NodeId parent_id, mode_t mode, int flags) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, DirectoryOf(nodes_, parent_id));
  // The file has no name yet, so it goes to the class tier of the directory.
  const LayerIndex tier = classifier_.HomeOf(*parent);
  TIERFS_ASSIGN(const DirFd dir, directories_.OpenForWriting(parent, tier));
  UniqueFd fd;
  {
    const ActAs as(caller);
    const KeepSetgid keep((mode & S_ISGID) != 0);
    TIERFS_ASSIGN(fd, OpenEntry((*dir).get(), ".", OpenFiles::BackingFlags(flags) | O_TMPFILE | (flags & O_EXCL), mode));
  }
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  const Found found = Found::File(layers_, tier, st);
  const NodePtr node = directories_.Reference(nullptr, "", found);
  directories_.Identify(*node, fd.get(), "");
  const Lock lock(node->mutex);
  auto pin = Duplicate(fd.get());
  if (!pin) {
    nodes_.Forget(node->id, 1);
    return tl::unexpected(pin.error());
  }
  node->pinned = std::move(*pin);
  return OpenMade(node, st, std::move(fd), flags);
}

}  // namespace tierfs
