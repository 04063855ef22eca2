#include "fs/os/attributes.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>

#include "fs/os/beneath.h"
#include "fs/os/caller.h"
#include "fs/os/change_observer.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace tierfs {

Status ChmodEntry(int dir, const char* name, mode_t mode) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(dir, name);
  const KeepSetgid keep((mode & S_ISGID) != 0);
  if (::syscall(SYS_fchmodat2, dir, name, mode, AT_SYMLINK_NOFOLLOW) == 0) return {};
  if (errno != ENOSYS) return FailErrno("fchmodat2");
  TIERFS_ASSIGN(const UniqueFd fd, OpenEntry(dir, name, O_PATH));
  if (::chmod(ProcPath(fd.get()).c_str(), mode) != 0) return FailErrno("chmod");
  return {};
}

Result<std::vector<std::string>> ListXattrs(const std::string& proc_path, bool follow) {
  std::string buffer(kXattrLimit, '\0');
  const ssize_t length = (follow ? ::listxattr : ::llistxattr)(proc_path.c_str(), buffer.data(), buffer.size());
  if (length < 0) return FailErrno("listxattr");
  std::vector<std::string> names;
  for (size_t at = 0; at < static_cast<size_t>(length); at += names.back().size() + 1) {
    names.emplace_back(buffer.c_str() + at);
  }
  return names;
}

bool IsPrivateXattr(const std::string& name) {
  return name.rfind("trusted.tierfs.", 0) == 0 || name.rfind("user.tierfs.", 0) == 0 || name.rfind("security.tierfs.", 0) == 0 ||
         name.rfind("trusted.overlay.", 0) == 0 || name.rfind("user.overlay.", 0) == 0;
}

bool IsShownOtherwise(const std::string& name) { return name == "trusted.SGI_ACL_FILE" || name == "trusted.SGI_ACL_DEFAULT"; }

namespace {

// Both paths are magic links in /proc, so use the calls that follow links.
Status CloneXattrs(const std::string& source, const std::string& target) {
  auto names = ListXattrs(source, true);
  if (!names && names.error().code == ENOTSUP) names = std::vector<std::string>{};
  if (!names) return tl::unexpected(names.error());
  // A new entry inherits the default ACL of its directory; remove ACLs that the source lacks.
  for (const char* acl : {"system.posix_acl_access", "system.posix_acl_default"}) {
    if (std::find(names->begin(), names->end(), acl) == names->end()) (void)::removexattr(target.c_str(), acl);
  }
  if (names->empty()) return {};
  std::string value(kXattrLimit, '\0');
  for (const std::string& name : *names) {
    if (IsPrivateXattr(name) || IsShownOtherwise(name)) continue;
    const ssize_t size = ::getxattr(source.c_str(), name.c_str(), value.data(), value.size());
    if (size < 0 && errno == ENODATA) continue;
    if (size < 0) return FailErrno("getxattr");
    if (::setxattr(target.c_str(), name.c_str(), value.data(), static_cast<size_t>(size), 0) != 0) {
      return FailErrno("setxattr");
    }
  }
  return {};
}

}  // namespace

Status CloneAttributes(int from, const struct stat& from_stat, int to) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(to, "");
  const std::string target = ProcPath(to);
  if (::fchownat(to, "", from_stat.st_uid, from_stat.st_gid, AT_EMPTY_PATH) != 0) return FailErrno("fchownat");
  const timespec times[2] = {from_stat.st_atim, from_stat.st_mtim};
  if (::utimensat(to, "", times, AT_EMPTY_PATH) != 0) return FailErrno("utimensat");
  // A symlink has no mode of its own, and its xattrs cannot be reached through a descriptor.
  if (S_ISLNK(from_stat.st_mode)) return {};
  TIERFS_TRY(CloneXattrs(ProcPath(from), target));
  const KeepSetgid keep((from_stat.st_mode & S_ISGID) != 0);
  if (::chmod(target.c_str(), from_stat.st_mode & 07777) != 0) return FailErrno("chmod");
  return {};
}

namespace {

constexpr int kForbidding = FS_APPEND_FL | FS_IMMUTABLE_FL;
constexpr int kCloned = kForbidding | FS_NODUMP_FL | FS_NOATIME_FL | FS_SYNC_FL | FS_DIRSYNC_FL | FS_NOCOW_FL;

}  // namespace

DirectoryFlags FlagsOfDirectory(int directory) {
  const auto opened = OpenEntry(directory, ".", O_RDONLY | O_DIRECTORY);
  int flags = 0;
  if (!opened || ::ioctl(opened->get(), FS_IOC_GETFLAGS, &flags) != 0) return {};
  return {flags & kCloned, flags & kForbidding};
}

Status CloneDirectoryFlags(int from, int to) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(to, "");
  TIERFS_ASSIGN(const UniqueFd source, OpenEntry(from, ".", O_RDONLY | O_DIRECTORY));
  TIERFS_ASSIGN(const UniqueFd target, OpenEntry(to, ".", O_RDONLY | O_DIRECTORY));
  int wanted = 0;
  int flags = 0;
  if (::ioctl(source.get(), FS_IOC_GETFLAGS, &wanted) != 0 || ::ioctl(target.get(), FS_IOC_GETFLAGS, &flags) != 0) return {};
  wanted = (flags & ~kCloned) | (wanted & kCloned);
  if (wanted == flags || ::ioctl(target.get(), FS_IOC_SETFLAGS, &wanted) == 0) return {};
  // Another file system may support fewer flags. The flags that forbid an operation must not be
  // lost.
  wanted = (flags & ~kForbidding) | (wanted & kForbidding);
  if (wanted != flags && ::ioctl(target.get(), FS_IOC_SETFLAGS, &wanted) != 0) return FailErrno("FS_IOC_SETFLAGS");
  return {};
}

Result<int> CloneFileFlags(int from, int to) {
  int wanted = 0;
  int flags = 0;
  if (::ioctl(from, FS_IOC_GETFLAGS, &wanted) != 0) return 0;
  const int forbidding = wanted & kForbidding;
  wanted &= kCloned & ~kForbidding;
  if (wanted == 0 && forbidding == 0) return 0;
  // As for directories. The forbidding flags are tried while nothing depends on them.
  if (::ioctl(to, FS_IOC_GETFLAGS, &flags) == 0) {
    wanted |= flags & ~kCloned;
    if (wanted != flags && ::ioctl(to, FS_IOC_SETFLAGS, &wanted) == 0) flags = wanted;
  }
  if (forbidding == 0) return 0;
  TIERFS_TRY(AddFlags(to, forbidding));
  if (::ioctl(to, FS_IOC_SETFLAGS, &flags) != 0) return FailErrno("FS_IOC_SETFLAGS");
  return forbidding;
}

Status AddFlags(int file, int flags) {
  int now = 0;
  if (flags == 0) return {};
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(file, "");
  if (::ioctl(file, FS_IOC_GETFLAGS, &now) != 0) return FailErrno("FS_IOC_GETFLAGS");
  now |= flags;
  if (::ioctl(file, FS_IOC_SETFLAGS, &now) != 0) return FailErrno("FS_IOC_SETFLAGS");
  return {};
}

void DropProtection(int dir, const char* name) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(dir, name);
  int flags = 0;
  const auto file = OpenEntry(dir, name, O_RDONLY | O_NONBLOCK);
  if (!file || ::ioctl(file->get(), FS_IOC_GETFLAGS, &flags) != 0) return;
  flags &= ~kForbidding;
  (void)::ioctl(file->get(), FS_IOC_SETFLAGS, &flags);
}

Status IsUnprotected(int dir, const char* name) {
  struct statx st {};
  if (::statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_TYPE, &st) != 0) return FailErrno("statx");
  if ((st.stx_attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND)) != 0) return Fail(EPERM, "immutable or append-only");
  return {};
}

Status MayBeRemoved(int dir, const char* name) {
  TIERFS_TRY(IsUnprotected(dir, name));
  return IsUnprotected(dir, "");
}

}  // namespace tierfs
