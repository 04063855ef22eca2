#include "fs/tree/inodes.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/change_observer.h"
#include "fs/os/entries.h"
#include "fs/os/keep_time.h"

namespace tierfs {
namespace {

// The prefixes of the attributes that tell where a file is. The kernel has no user.* attributes on
// symlinks, fifos, sockets and devices (xattr(7)). On those, security.* gives the same answer: any
// file may have it, and any user may read it.
constexpr std::string_view kOwnPrefixes[] = {"user.tierfs.", "security.tierfs."};

// The part after the prefix: "tier" of "user.tierfs.tier". Empty for any other attribute.
std::string_view OwnAttribute(std::string_view name) {
  for (const std::string_view prefix : kOwnPrefixes) {
    if (name.substr(0, prefix.size()) == prefix) return name.substr(prefix.size());
  }
  return {};
}

bool IsAcl(std::string_view name) { return name == "system.posix_acl_access" || name == "system.posix_acl_default"; }

// A descriptor for ioctls, of the entry `name` in `dir`, or of `dir` itself if the name is empty.
Result<UniqueFd> OpenReal(int dir, const std::string& name) {
  if (!name.empty()) return OpenEntry(dir, name.c_str(), O_RDONLY | O_NONBLOCK);
  return Reopen(dir, O_RDONLY | O_NONBLOCK);
}

bool SameTime(const std::optional<timespec>& wanted, const timespec& now) {
  return !wanted || (wanted->tv_sec == now.tv_sec && wanted->tv_nsec == now.tv_nsec);
}

bool ChangesNothing(const Caller& caller, const AttributeChange& change, const struct stat& st) {
  if (change.ChangesOwner() && DroppedByChown(caller, st) != 0) return false;
  return (!change.mode || *change.mode == (st.st_mode & 07777)) && (!change.uid || *change.uid == st.st_uid) &&
         (!change.gid || *change.gid == st.st_gid) && (!change.size || *change.size == st.st_size) && SameTime(change.atime, st.st_atim) &&
         SameTime(change.mtime, st.st_mtim);
}

Status ReadXattr(const Location& at, const char* name, std::string& value) {
  const std::string path = at.Proc();
  const auto get = at.name.empty() ? ::getxattr : ::lgetxattr;
  char small[256];
  ssize_t size = get(path.c_str(), name, small, sizeof small);
  if (size >= 0) {
    value.assign(small, static_cast<std::size_t>(size));
    return {};
  }
  if (errno == EOPNOTSUPP && (IsAcl(name) || !IsTier(at.layer))) return Fail(ENODATA, "attribute that the layer cannot hold");
  if (errno != ERANGE) return FailErrno("getxattr");
  value.resize(kXattrLimit);
  size = get(path.c_str(), name, value.data(), value.size());
  if (size < 0) return FailErrno("getxattr");
  value.resize(static_cast<std::size_t>(size));
  return {};
}

Status ChangeOwner(const Location& at, const Caller& caller, const AttributeChange& change) {
  if (!change.ChangesOwner()) return {};
  TIERFS_ASSIGN(const struct stat st, at.name.empty() ? StatFd(at.DirOrFile()) : StatEntry(at.DirOrFile(), at.name.c_str()));
  const SetidOf bits(caller, st);
  const uid_t uid = change.uid.value_or(static_cast<uid_t>(-1));
  const gid_t gid = change.gid.value_or(static_cast<gid_t>(-1));
  return ChangeEntryOwner(at.DirOrFile(), at.name.c_str(), uid, gid);
}

Status ChangeMode(const Location& at, mode_t mode) {
  if (!at.name.empty()) return ChmodEntry(at.DirOrFile(), at.name.c_str(), mode);
  const KeepSetgid keep((mode & S_ISGID) != 0);
  return tierfs::ChangeMode(at.DirOrFile(), mode);
}

// Truncates through `open_fd`, a descriptor that can write to the file, unless it is negative.
Status ChangeSize(const Location& at, const Caller& caller, off_t size, int open_fd) {
  UniqueFd opened;
  if (open_fd < 0) {
    if (at.name.empty()) {
      TIERFS_ASSIGN(opened, Reopen(at.DirOrFile(), O_WRONLY));
    } else {
      TIERFS_ASSIGN(opened, OpenEntry(at.DirOrFile(), at.name.c_str(), O_WRONLY));
    }
    open_fd = opened.get();
  }
  TIERFS_ASSIGN(const struct stat st, StatFd(open_fd));
  const SetidOf bits(caller, st);
  return Truncate(open_fd, size);
}

Status ApplyChange(const Location& at, const Caller& caller, const AttributeChange& change, int open_fd) {
  TIERFS_TRY(ChangeOwner(at, caller, change));
  if (change.mode) TIERFS_TRY(ChangeMode(at, *change.mode));
  if (change.size) TIERFS_TRY(ChangeSize(at, caller, *change.size, open_fd));
  if (!change.atime && !change.mtime) return {};
  constexpr timespec kOmit{0, UTIME_OMIT};
  return ChangeEntryTimes(at.DirOrFile(), at.name.c_str(), change.atime.value_or(kOmit), change.mtime.value_or(kOmit));
}

}  // namespace

Status Inodes::ChangeParts(NodeId id, Feed::Change change, const Apply& apply) {
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  TIERFS_TRY(copies_.CopyUp(node));
  const ReadLock topology(topology_);
  // The report always comes: a part that fails does not undo the changes of the parts before it.
  const AtEnd report([&] { reporter_.ReportNode(*node, change); });
  const auto announce = [&](const Location& at) {
    if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(at.DirOrFile(), at.name.c_str());
    return apply(node, at);
  };
  if (node->IsDir()) return directories_.ChangeTierParts(node, announce);
  const Lock lock(node->mutex);
  ++node->changes;
  TIERFS_ASSIGN(const Location at, directories_.LocateLocked(node, node->Placement()));
  return announce(at);
}

Status Inodes::AskThroughFile(NodeId id, const std::function<Status(int fd)>& ask) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  UniqueFd fd;
  TIERFS_TRY(directories_.UseFirstPart(node, [&](const Location& at) -> Status {
    TIERFS_ASSIGN(fd, OpenReal(at.DirOrFile(), at.name));
    return {};
  }));
  return ask(fd.get());
}

Status Inodes::ChangeThroughFile(NodeId id, const std::function<Status(int fd)>& change) {
  TIERFS_TRY(ChangeParts(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    TIERFS_ASSIGN(const UniqueFd fd, OpenReal(at.DirOrFile(), at.name));
    return change(fd.get());
  }));
  // The kernel does not know that an ioctl changes the time of the change.
  kernel_->InvalidateAttributes(id);
  return {};
}

Result<Attributes> Inodes::GetAttributes(NodeId id, HandleId handle) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  open_files_.LookForMapping(node);
  if (const auto file = open_files_.Get(handle)) {
    TIERFS_ASSIGN(const struct stat st, StatFd(file->Data()->get()));
    // If the file was copied up or moved after it was opened, the handle still shows the old
    // backing inode.
    if (layers_.KeyOf(node->Placement(), st) == nodes_.KeyOf(*node)) return answers_.Describe(*node, st);
  }
  TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
  return answers_.Describe(*node, st);
}

Result<std::string> Inodes::ReadLink(NodeId id) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  const Lock lock(node->mutex);  // the file does not move meanwhile
  TIERFS_ASSIGN(const Location at, directories_.LocateLocked(node, node->Placement()));
  return ReadLinkEntry(at.DirOrFile(), at.name.c_str());
}

Result<struct statvfs> Inodes::SpaceOf(NodeId id) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  // The tier that holds the file, else the class tier of the path.
  LayerIndex layer = node->IsDir() ? kNoLayer : node->Placement();
  if (layer == kNoLayer || !IsTier(layer)) layer = classifier_.HomeOf(*node);
  return tierfs::SpaceOf(layers_[layer].root.get());
}

Result<Attributes> Inodes::SetAttributes(const Caller& caller, NodeId id, const AttributeChange& change, HandleId handle) {
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  if (!change.uid && !change.gid && change.ChangesOwner()) TIERFS_TRY(MayDropBits(caller, node));
  if (node->Parts().InTiers().Empty()) {
    {
      const ReadLock topology(topology_);
      TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
      if (ChangesNothing(caller, change, st)) return answers_.Describe(*node, st);
    }
    TIERFS_TRY(copies_.CopyUp(node, change.size.value_or(kAllData)));
  }
  const auto file = open_files_.Get(handle);
  const Feed::Change kind = change.size ? Feed::Change::kContent : Feed::Change::kAttributes;
  TIERFS_TRY(ChangeParts(id, kind, [&](const NodePtr& at_node, const Location& at) -> Status {
    std::shared_ptr<const UniqueFd> open;
    if (file && file->writer) {
      open = file->Data();
      TIERFS_ASSIGN(const struct stat st, StatFd(open->get()));
      if (!(layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*at_node))) open.reset();
    }
    return ApplyChange(at, caller, change, open ? open->get() : -1);
  }));
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
  return answers_.Describe(*node, st);
}

Status Inodes::MayDropBits(const Caller& caller, const NodePtr& node) {
  // The kernel asks for this without a check of the caller's permission, because a write needs
  // none. While no one has the file open for writing, it can only be a chown.
  if (node->writers.load(std::memory_order_relaxed) != 0 || caller.uid == 0) return {};
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
  if (caller.uid == st.st_uid || DroppedByChown(caller, st) == 0 || HasCapability(caller, CAP_FOWNER)) return {};
  return Fail(EPERM, "chown by another user");
}

Result<std::string> Inodes::OwnXattr(const NodePtr& node, std::string_view what) {
  const LayerIndex layer = node->Parts().First();
  if (what == "tier") return std::to_string(NumberOf(IsTier(layer) ? TierOf(layer) : TierId::kBulk));
  if (what == "layer") return IsTier(layer) ? "tier" + std::to_string(NumberOf(TierOf(layer))) : layers_[layer].path;
  const policy::Decision decision = classifier_.DecisionOf(*node);
  if (what == "class") return std::to_string(NumberOf(decision.tier));
  if (what == "rule") {
    if (decision.rule == policy::kNoRule) return std::string("(no rule)");
    return classifier_.CurrentPolicy()->RuleOf(decision.rule).Describe();
  }
  if (what == "path") {
    const auto path = nodes_.PathOf(*node);
    if (!path) return Fail(ENODATA, "no name left");
    return layers_[layer].path + (path->empty() ? "" : "/" + *path);
  }
  return Fail(ENODATA, "unknown attribute of tierfs");
}

Result<std::string> Inodes::GetXattr(NodeId id, const char* name) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  if (const std::string_view what = OwnAttribute(name); !what.empty()) return OwnXattr(node, what);
  if (IsPrivateXattr(name)) return Fail(ENODATA, "private attribute");
  std::string value;
  TIERFS_TRY(directories_.UseFirstPart(node, [&](const Location& at) { return ReadXattr(at, name, value); }));
  return value;
}

Result<std::string> Inodes::ListXattrs(const Caller& caller, NodeId id) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  std::string list;
  TIERFS_TRY(directories_.UseFirstPart(node, [&](const Location& at) -> Status {
    const auto names = tierfs::ListXattrs(at.Proc(), at.name.empty());
    // The file system of a lower layer may have no attributes at all; the view has.
    if (!names && names.error().code == EOPNOTSUPP) return {};
    if (!names) return tl::unexpected(names.error());
    std::optional<bool> privileged;  // asked for when it matters
    for (const std::string& name : *names) {
      if (IsPrivateXattr(name) || IsShownOtherwise(name)) continue;
      // The kernel's own file systems list these names to privileged callers only.
      if (name.rfind("trusted.", 0) == 0) {
        if (!privileged) privileged = HasCapability(caller, CAP_SYS_ADMIN);
        if (!*privileged) continue;
      }
      list.append(name).push_back('\0');
    }
    return {};
  }));
  return list;
}

Status Inodes::SetXattr(const Caller& caller, NodeId id, const char* name, const void* value, size_t size, int flags) {
  if (IsPrivateXattr(name)) return Fail(EPERM, "private attribute");
  // Setting an ACL changes the mode. A caller outside the group of the file thereby clears the
  // setgid bit, as chmod(2) says.
  bool keep_setgid = true;
  if (std::string_view(name) == "system.posix_acl_access") {
    const ReadLock topology(topology_);
    TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
    TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
    keep_setgid = (st.st_mode & S_ISGID) == 0 || InGroupOrCapable(caller, st.st_gid);
  }
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  if (node->Parts().InTiers().Empty()) {
    // A node in a lower layer that would not change is not copied up.
    const auto now = GetXattr(id, name);
    if (now && flags == XATTR_CREATE) return Fail(EEXIST, "setxattr");
    if (now && *now == std::string_view(static_cast<const char*>(value), size)) return {};
    if (!now && flags == XATTR_REPLACE) return tl::unexpected(now.error());
  }
  return ChangeParts(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    const KeepSetgid keep(keep_setgid);
    const auto set = at.name.empty() ? ::setxattr : ::lsetxattr;
    if (set(at.Proc().c_str(), name, value, size, flags) != 0) return FailErrno("setxattr");
    return {};
  });
}

Status Inodes::RemoveXattr(NodeId id, const char* name) {
  if (IsPrivateXattr(name)) return Fail(EPERM, "private attribute");
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  if (node->Parts().InTiers().Empty()) {
    const auto now = GetXattr(id, name);
    if (!now) return tl::unexpected(now.error());
  }
  return ChangeParts(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    const auto remove = at.name.empty() ? ::removexattr : ::lremovexattr;
    if (remove(at.Proc().c_str(), name) != 0) return FailErrno("removexattr");
    return {};
  });
}

}  // namespace tierfs
