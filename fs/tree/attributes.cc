// Changing attributes, and extended attributes.
#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/keep_time.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

// Where a file is, as an attribute of it. The kernel has no user.* attributes on symlinks, fifos, sockets and devices (xattr(7)); there
// the same answer stands under security.*, which any file may have and any user may read.
constexpr std::string_view kOwnPrefixes[] = {"user.tierfs.", "security.tierfs."};

// "tier" of "user.tierfs.tier"; empty for an attribute that is not ours.
std::string_view OwnAttribute(std::string_view name) {
  for (const std::string_view prefix : kOwnPrefixes) {
    if (name.substr(0, prefix.size()) == prefix) return name.substr(prefix.size());
  }
  return {};
}

bool IsAcl(std::string_view name) { return name == "system.posix_acl_access" || name == "system.posix_acl_default"; }

// A descriptor that ioctls work on, of the entry `name` in `dir`, or of `dir` itself when there is no name.
Result<UniqueFd> OpenReal(int dir, const std::string& name) {
  if (!name.empty()) return OpenEntry(dir, name.c_str(), O_RDONLY | O_NONBLOCK);
  UniqueFd fd(::open(ProcPath(dir).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return FailErrno("open of an unlinked file");
  return fd;
}

bool SameTime(const std::optional<timespec>& wanted, const timespec& now) {
  return !wanted || (wanted->tv_sec == now.tv_sec && wanted->tv_nsec == now.tv_nsec);
}

bool ChangesNothing(const AttributeChange& change, const struct stat& st) {
  return (!change.mode || *change.mode == (st.st_mode & 07777)) && (!change.uid || *change.uid == st.st_uid) &&
         (!change.gid || *change.gid == st.st_gid) && (!change.size || *change.size == st.st_size) && SameTime(change.atime, st.st_atim) &&
         SameTime(change.mtime, st.st_mtim);
}

}  // namespace

Status Tree::OnEachTierPart(NodeId id, Feed::Change change, const std::function<Status(const NodePtr&, const Location&)>& apply) {
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  TIERFS_TRY(CopyUp(node));
  const SharedTopology topology(topology_);
  // A part that fails does not undo what was done to those before it.
  const AtEnd tell([&] { TellNode(*node, change); });
  if (node->IsDir()) {
    // A directory that is being cloned into one more tier just now must not keep the old attributes there.
    const std::lock_guard growth(growth_);
    const auto times = KeepTime::NoneIsPutBack();
    for (const LayerIndex layer : node->Parts().InTiers()) {
      TIERFS_ASSIGN(const Location at, Locate(node, layer));
      TIERFS_TRY(apply(node, at));
    }
    return {};
  }
  const std::lock_guard lock(node->mutex);
  ++node->changes;
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  TIERFS_TRY(apply(node, at));
  // By a handle of before it was copied up: what the kernel knows of the file that its name leads to is out of date.
  if (!(node->id == id)) kernel_->InvalidateAttributes(node->id);
  return {};
}

Status Tree::AskThroughFile(NodeId id, const std::function<Status(int fd)>& ask) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  UniqueFd fd;
  {
    TIERFS_ASSIGN(const Held held, Hold(node));
    TIERFS_ASSIGN(fd, OpenReal(held.at.DirOrFile(), held.at.name));
  }
  return ask(fd.get());
}

Status Tree::ChangeThroughFile(NodeId id, const std::function<Status(int fd)>& change) {
  return OnEachTierPart(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    TIERFS_ASSIGN(const UniqueFd fd, OpenReal(at.DirOrFile(), at.name));
    return change(fd.get());
  });
}

Status Tree::ApplyChange(const Location& at, const Caller& caller, const AttributeChange& change, int open_fd) {
  const int dir = at.DirOrFile();
  const char* name = at.name.c_str();
  if (change.uid || change.gid) {
    // Root may keep a setgid bit that a change of owner takes from others; the kernel has told them apart already.
    const KeepSetgid keep(caller.uid == 0);
    const uid_t uid = change.uid.value_or(static_cast<uid_t>(-1));
    const gid_t gid = change.gid.value_or(static_cast<gid_t>(-1));
    if (::fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | at.EmptyPathFlag()) != 0) return FailErrno("fchownat");
  }
  if (change.mode) {
    if (!at.name.empty()) {
      TIERFS_TRY(ChmodEntry(dir, name, *change.mode));
    } else {
      const KeepSetgid keep((*change.mode & S_ISGID) != 0);
      if (::chmod(ProcPath(dir).c_str(), *change.mode) != 0) return FailErrno("chmod");
    }
  }
  if (change.size) {
    if (open_fd >= 0) {
      if (::ftruncate(open_fd, *change.size) != 0) return FailErrno("ftruncate");
    } else {
      UniqueFd fd;
      if (at.name.empty()) {
        fd = UniqueFd(::open(ProcPath(dir).c_str(), O_WRONLY | O_CLOEXEC));
        if (!fd) return FailErrno("open for truncation");
      } else {
        TIERFS_ASSIGN(fd, OpenEntry(dir, name, O_WRONLY | O_NONBLOCK));
      }
      if (::ftruncate(fd.get(), *change.size) != 0) return FailErrno("ftruncate");
    }
  }
  if (change.atime || change.mtime) {
    const timespec omit{0, UTIME_OMIT};
    const timespec times[2] = {change.atime.value_or(omit), change.mtime.value_or(omit)};
    if (::utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW | at.EmptyPathFlag()) != 0) return FailErrno("utimensat");
  }
  return {};
}

Result<Attributes> Tree::SetAttributes(const Caller& caller, NodeId id, const AttributeChange& change, HandleId handle) {
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  if (node->Parts().InTiers().Empty()) {
    {
      const SharedTopology topology(topology_);
      TIERFS_ASSIGN(const struct stat st, StatNode(node));
      if (ChangesNothing(change, st)) return Describe(*node, st);
    }
    TIERFS_TRY(CopyUp(node, change.size.value_or(kAllData)));
  }
  const auto file = handles_.Get(handle);
  const Feed::Change kind = change.size ? Feed::Change::kContent : Feed::Change::kAttributes;
  TIERFS_TRY(OnEachTierPart(id, kind, [&](const NodePtr& at_node, const Location& at) -> Status {
    std::shared_ptr<const UniqueFd> open;
    if (file && file->writer) {
      open = file->Data();
      TIERFS_ASSIGN(const struct stat st, StatFd(open->get()));
      if (!(layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*at_node))) open.reset();
    }
    return ApplyChange(at, caller, change, open ? open->get() : -1);
  }));
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const struct stat st, StatNode(node));
  return Describe(*node, st);
}

Result<std::string> Tree::OwnXattr(const NodePtr& node, std::string_view what) {
  const LayerIndex layer = node->Parts().First();
  if (what == "tier") return std::to_string(NumberOf(IsTier(layer) ? TierOf(layer) : TierId::kBulk));
  if (what == "layer") return IsTier(layer) ? "tier" + std::to_string(NumberOf(TierOf(layer))) : layers_[layer].path;
  const policy::Decision decision = DecisionOfNode(*node);
  if (what == "class") return std::to_string(NumberOf(decision.tier));
  if (what == "rule") {
    if (decision.rule == policy::kNoRule) return std::string("(no rule)");
    return Policy().policy->RuleOf(decision.rule).Describe();
  }
  if (what == "path") {
    const auto path = nodes_.PathOf(*node);
    if (!path) return Fail(ENODATA, "no name left");
    return layers_[layer].path + (path->empty() ? "" : "/" + *path);
  }
  return Fail(ENODATA, "unknown attribute of tierfs");
}

Result<std::string> Tree::GetXattr(NodeId id, const char* name) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  if (const std::string_view what = OwnAttribute(name); !what.empty()) return OwnXattr(node, what);
  if (IsPrivateXattr(name)) return Fail(ENODATA, "private attribute");
  TIERFS_ASSIGN(const Held held, Hold(node));
  const Location& at = held.at;
  const std::string path = at.Proc();
  const auto get = at.name.empty() ? ::getxattr : ::lgetxattr;
  char small[256];
  ssize_t size = get(path.c_str(), name, small, sizeof small);
  if (size >= 0) return std::string(small, static_cast<std::size_t>(size));
  if (errno == EOPNOTSUPP && (IsAcl(name) || !IsTier(at.layer))) return Fail(ENODATA, "attribute that the layer cannot hold");
  if (errno != ERANGE) return FailErrno("getxattr");
  std::string value(kXattrLimit, '\0');
  size = get(path.c_str(), name, value.data(), value.size());
  if (size < 0) return FailErrno("getxattr");
  value.resize(static_cast<std::size_t>(size));
  return value;
}

Result<std::string> Tree::ListXattrs(NodeId id) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  TIERFS_ASSIGN(const Held held, Hold(node));
  const Location& at = held.at;
  const auto names = tierfs::ListXattrs(at.Proc(), at.name.empty());
  // A lower layer's file system may have no attributes at all; the view has.
  if (!names && names.error().code == EOPNOTSUPP) return std::string();
  if (!names) return tl::unexpected(names.error());
  std::string list;
  for (const std::string& name : *names) {
    if (!IsPrivateXattr(name) && !IsShownOtherwise(name)) list.append(name).push_back('\0');
  }
  return list;
}

Status Tree::SetXattr(const Caller& caller, NodeId id, const char* name, const void* value, size_t size, int flags) {
  if (IsPrivateXattr(name)) return Fail(EPERM, "private attribute");
  // An ACL changes the mode; whoever is not in the file's group loses the setgid bit by it, as chmod(2) says.
  bool keep_setgid = true;
  if (std::string_view(name) == "system.posix_acl_access") {
    const SharedTopology topology(topology_);
    TIERFS_ASSIGN(const NodePtr node, Get(id));
    TIERFS_ASSIGN(const struct stat st, StatNode(node));
    keep_setgid = (st.st_mode & S_ISGID) == 0 || caller.uid == 0 || caller.gid == st.st_gid || HasSupplementaryGroup(caller.pid, st.st_gid);
  }
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  if (node->Parts().InTiers().Empty()) {
    // What is in a lower layer and would not change stays there.
    const auto now = GetXattr(id, name);
    if (now && flags == XATTR_CREATE) return Fail(EEXIST, "setxattr");
    if (now && *now == std::string_view(static_cast<const char*>(value), size)) return {};
    if (!now && flags == XATTR_REPLACE) return tl::unexpected(now.error());
  }
  return OnEachTierPart(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    const KeepSetgid keep(keep_setgid);
    const auto set = at.name.empty() ? ::setxattr : ::lsetxattr;
    if (set(at.Proc().c_str(), name, value, size, flags) != 0) return FailErrno("setxattr");
    return {};
  });
}

Status Tree::RemoveXattr(NodeId id, const char* name) {
  if (IsPrivateXattr(name)) return Fail(EPERM, "private attribute");
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  if (node->Parts().InTiers().Empty()) {
    const auto now = GetXattr(id, name);
    if (!now) return tl::unexpected(now.error());
  }
  return OnEachTierPart(id, Feed::Change::kAttributes, [&](const NodePtr&, const Location& at) -> Status {
    const auto remove = at.name.empty() ? ::removexattr : ::lremovexattr;
    if (remove(at.Proc().c_str(), name) != 0) return FailErrno("removexattr");
    return {};
  });
}

}  // namespace tierfs
