// New names in the view: each is made in the tier that its path belongs to.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/tier/entry.h"
#include "fs/tree/tree.h"

namespace tierfs {

Result<Tree::Made> Tree::MakeIn(LayerIndex tier, const NodePtr& parent, const char* name, bool is_dir,
                                const std::function<Status(int dir)>& make) {
  TIERFS_ASSIGN(DirFd dir, OpenDirForWriting(parent, tier));
  if (parent->Parts().InLower().Empty()) {
    const Status made = make((*dir).get());
    if (made) {
      Tell(LayerMask::Only(tier), parent, name, Feed::Change::kName);
      return Made{tier, std::move(dir)};
    }
    // A whiteout may be left of a lower layer that is there no more; open(2) calls it a device without a driver.
    if (made.error().code != EEXIST && made.error().code != ENXIO) return tl::unexpected(made.error());
    const auto there = StatEntry((*dir).get(), name);
    if (!there || !IsWhiteout(*there)) return tl::unexpected(made.error());
  }
  TIERFS_ASSIGN(const Found before, Resolve(parent, name));
  if (before.Exists()) return Fail(EEXIST, "entry exists");
  TIERFS_ASSIGN(const LayerMask shields, ClearForCreation(parent, name, tier, before.whiteouts, is_dir));
  TIERFS_TRY(make((*dir).get()));
  const AtEnd tell([&] { Tell(LayerMask::Only(tier), parent, name, is_dir ? Feed::Change::kSubtree : Feed::Change::kName); });
  if (is_dir && !before.whiteouts.Empty()) TIERFS_TRY(HideLowerEntries(parent, name, (*dir).get()));
  TIERFS_TRY(RemoveWhiteouts(parent, name, shields));
  return Made{tier, std::move(dir)};
}

Result<Entry> Tree::MadeEntry(const NodePtr& parent, const char* name, const Made& made) {
  TIERFS_ASSIGN(const struct stat st, StatEntry((*made.dir).get(), name));
  if (!S_ISDIR(st.st_mode) || parent->Parts().InLower().Empty()) {
    return EntryOf(*ReferenceFound(parent, name, FoundAt(made.layer, st)), st);
  }
  // A directory where lower layers have one too merges with that, whose entries are hidden one by one.
  for (;;) {
    TIERFS_ASSIGN(const Found found, Resolve(parent, name));
    if (!found.IsDir()) return Fail(ESTALE, "replaced underneath");
    if (const NodePtr node = ReferenceFound(parent, name, found)) return EntryOf(*node, found.st);
  }
}

Result<Entry> Tree::MakeNode(const Caller& caller, NodeId parent_id, const char* name, mode_t mode, dev_t device) {
  // 0:0 is the mark of a deletion in these trees; overlayfs refuses to make one for the same reason.
  if (S_ISCHR(mode) && device == 0) return Fail(EPERM, "a whiteout cannot be made through the mount");
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  const LayerIndex tier = LayerOf(DecisionFor(parent, name, false).tier);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  if (::mknodat(dir, name, mode, device) != 0) return FailErrno("mknodat");
                  return {};
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Tree::MakeDirectory(const Caller& caller, NodeId parent_id, const char* name, mode_t mode) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  const LayerIndex tier = LayerOf(DecisionFor(parent, name, true).tier);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, true, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  if (::mkdirat(dir, name, mode) != 0) return FailErrno("mkdirat");
                  return {};
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Tree::MakeSymlink(const Caller& caller, NodeId parent_id, const char* name, const char* target) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  const LayerIndex tier = LayerOf(DecisionFor(parent, name, false).tier);
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  if (::symlinkat(target, dir, name) != 0) return FailErrno("symlinkat");
                  return {};
                }));
  return MadeEntry(parent, name, made);
}

Result<Entry> Tree::Link(NodeId id, NodeId parent_id, const char* name) {
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  TIERFS_TRY(CopyUp(node));
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  const std::lock_guard lock(node->mutex);
  const LayerIndex home = node->Placement();
  LayerIndex tier = LayerOf(DecisionFor(parent, name, false).tier);
  if (!layers_.SameMount(home, tier)) {
    // One inode is in one tier: the new name joins it there when that is at least as well protected as its own class.
    if (home > tier) return Fail(EXDEV, "link to a better protected tier on another file system");
    tier = home;
  }
  TIERFS_ASSIGN(const Location from, LocateLocked(node, home));
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  if (::linkat(from.DirOrFile(), from.name.c_str(), dir, name, from.EmptyPathFlag()) != 0) return FailErrno("linkat");
                  return {};
                }));
  nodes_.Linked();
  TellNode(*node, Feed::Change::kName);  // it has one name more
  TIERFS_ASSIGN(Entry entry, MadeEntry(parent, name, made));
  if (entry.id == node->id) node->pinned.Reset();
  // A temporary file that got its first name: it may go where that belongs once it is closed.
  if (tier != LayerOf(DecisionFor(parent, name, false).tier) && entry.attributes.st.st_nlink == 1) MoveAtClose(node);
  return entry;
}

Result<CreatedFile> Tree::Create(const Caller& caller, NodeId parent_id, const char* name, mode_t mode, int flags) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  const LayerIndex tier = LayerOf(DecisionFor(parent, name, false).tier);
  UniqueFd fd;
  TIERFS_ASSIGN(const Made made, MakeIn(tier, parent, name, false, [&](int dir) -> Status {
                  const ActAs as(caller);
                  const KeepSetgid keep((mode & S_ISGID) != 0);
                  TIERFS_ASSIGN(fd, OpenEntry(dir, name, BackingFlags(flags) | O_CREAT | (flags & O_EXCL), mode));
                  return {};
                }));
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  const Found found = FoundAt(made.layer, st);
  const NodePtr node = ReferenceFound(parent, name, found);
  CreatedFile created;
  {
    const std::lock_guard lock(node->mutex);
    auto opened = AddHandle(node, std::move(fd), flags);
    if (opened) {
      created.opened = *opened;
    } else {
      nodes_.Forget(node->id, 1);
      return tl::unexpected(opened.error());
    }
  }
  created.entry = EntryOf(*node, st);
  return created;
}

Result<CreatedFile> Tree::CreateTemporary(const Caller& caller, NodeId parent_id, mode_t mode, int flags) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  // It has no name yet, so it goes where the directory itself belongs.
  const LayerIndex tier = LayerOf(DecisionOfNode(*parent).tier);
  TIERFS_ASSIGN(const DirFd dir, OpenDirForWriting(parent, tier));
  UniqueFd fd;
  {
    const ActAs as(caller);
    const KeepSetgid keep((mode & S_ISGID) != 0);
    TIERFS_ASSIGN(fd, OpenEntry((*dir).get(), ".", BackingFlags(flags) | O_TMPFILE | (flags & O_EXCL), mode));
  }
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  const Found found = FoundAt(tier, st);
  const NodePtr node = ReferenceFound(nullptr, "", found);
  CreatedFile created;
  created.entry = EntryOf(*node, st);
  const std::lock_guard lock(node->mutex);
  node->pinned = UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  auto opened = AddHandle(node, std::move(fd), flags);
  if (!opened || !node->pinned) {
    nodes_.Forget(node->id, 1);
    return opened ? Fail(EMFILE, "dup") : tl::unexpected(opened.error());
  }
  created.opened = *opened;
  return created;
}

}  // namespace tierfs
