#include "fs/os/entries.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>

#include "fs/os/beneath.h"
#include "fs/os/change_observer.h"
#include "fs/os/fault.h"

namespace tierfs {
namespace {

int EmptyPath(const char* name) { return *name == '\0' ? AT_EMPTY_PATH : 0; }

// Makes the call, unless a test has planned its failure.
template <typename Call>
Status Try(const char* step, Call call) {
  if (const int planned = Fault::Planned(step)) return Fail(planned, step);
  if (call() != 0) return FailErrno(step);
  return {};
}

template <typename Open>
Result<UniqueFd> TryOpen(const char* step, Open open) {
  if (const int planned = Fault::Planned(step)) return Fail(planned, step);
  UniqueFd fd(open());
  if (!fd) return FailErrno(step);
  return fd;
}

using Fate = ChangeObserver::Fate;

// Makes the call, which makes a new file at the name.
template <typename Call>
Status TryMake(const char* step, int dir, const char* name, Call call) {
  ChangeObserver* const observer = ChangeObserver::Now();
  if (observer != nullptr) observer->BeforeEntry(dir, name, Fate::kStays);
  TIERFS_TRY(Try(step, call));
  if (observer != nullptr) observer->Made(dir, name);
  return {};
}

// Makes the call, which changes attributes of the entry.
template <typename Call>
Status TryChange(const char* step, int dir, const char* name, Call call) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeAttributes(dir, name);
  return Try(step, call);
}

}  // namespace

Status MakeDirectoryEntry(int dir, const char* name, mode_t mode) {
  return TryMake("mkdirat", dir, name, [&] { return ::mkdirat(dir, name, mode); });
}

Status MakeNodeEntry(int dir, const char* name, mode_t mode, dev_t device) {
  return TryMake("mknodat", dir, name, [&] { return ::mknodat(dir, name, mode, device); });
}

Status MakeSymlinkEntry(const char* target, int dir, const char* name) {
  return TryMake("symlinkat", dir, name, [&] { return ::symlinkat(target, dir, name); });
}

Status LinkEntry(int from_dir, const char* from_name, int dir, const char* name) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) {
    observer->BeforeAttributes(from_dir, from_name);
    observer->BeforeEntry(dir, name, Fate::kStays);
  }
  return Try("linkat", [&] { return ::linkat(from_dir, from_name, dir, name, EmptyPath(from_name)); });
}

Status RenameEntry(int from_dir, const char* from_name, int dir, const char* name, unsigned flags) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) {
    observer->BeforeEntry(from_dir, from_name, Fate::kStays);
    observer->BeforeEntry(dir, name, (flags & RENAME_EXCHANGE) != 0 ? Fate::kStays : Fate::kMayLoseItsLastName);
  }
  return Try("renameat2", [&] { return ::renameat2(from_dir, from_name, dir, name, flags); });
}

Status RemoveEntry(int dir, const char* name) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeEntry(dir, name, Fate::kMayLoseItsLastName);
  return Try("unlinkat", [&] { return ::unlinkat(dir, name, 0); });
}

Status RemoveDirectoryEntry(int dir, const char* name) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeEntry(dir, name, Fate::kMayLoseItsLastName);
  return Try("rmdir", [&] { return ::unlinkat(dir, name, AT_REMOVEDIR); });
}

Status ChangeEntryOwner(int dir, const char* name, uid_t uid, gid_t gid) {
  return TryChange("fchownat", dir, name, [&] { return ::fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW | EmptyPath(name)); });
}

Status ChangeEntryTimes(int dir, const char* name, const timespec& atime, const timespec& mtime) {
  const timespec times[2] = {atime, mtime};
  return TryChange("utimensat", dir, name, [&] { return ::utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW | EmptyPath(name)); });
}

Result<std::string> ReadXattrEntry(int dir, const char* name, const char* xattr, std::size_t limit) {
  std::string value(limit, '\0');
  ssize_t length = 0;
  TIERFS_TRY(Try("lgetxattr", [&] {
    length = ::lgetxattr(ProcPath(dir, name).c_str(), xattr, value.data(), value.size());
    return length < 0 ? -1 : 0;
  }));
  value.resize(static_cast<std::size_t>(length));
  return value;
}

Result<std::string> ReadLinkEntry(int dir, const char* name) {
  std::string target(PATH_MAX, '\0');
  ssize_t length = 0;
  TIERFS_TRY(Try("readlinkat", [&] {
    length = ::readlinkat(dir, name, target.data(), target.size());
    return length < 0 ? -1 : 0;
  }));
  target.resize(static_cast<std::size_t>(length));
  return target;
}

Result<UniqueFd> OpenDirectory(const std::string& path, int flags) {
  return TryOpen("open of a directory", [&] { return ::open(path.c_str(), flags | O_DIRECTORY | O_CLOEXEC); });
}

Result<UniqueFd> Duplicate(int fd) {
  return TryOpen("dup", [&] { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); });
}

Result<UniqueFd> Reopen(int fd, int flags) {
  return TryOpen("open of an open file", [&] { return ::open(ProcPath(fd).c_str(), flags | O_CLOEXEC); });
}

Status Truncate(int file, off_t size) {
  if (ChangeObserver* const observer = ChangeObserver::Now()) observer->BeforeContent(file, size, kToTheEnd);
  return Try("ftruncate", [&] { return ::ftruncate(file, size); });
}

Status Sync(int fd) {
  return Try("fsync", [&] { return ::fsync(fd); });
}

Status SyncData(int file) {
  return Try("fdatasync", [&] { return ::fdatasync(file); });
}

Status ChangeMode(int fd, mode_t mode) {
  return TryChange("chmod", fd, "", [&] { return ::chmod(ProcPath(fd).c_str(), mode); });
}

Status Rewind(int directory) {
  return Try("lseek of a directory", [&] { return ::lseek(directory, 0, SEEK_SET) < 0 ? -1 : 0; });
}

bool OnlyAppends(int fd) { return (::fcntl(fd, F_GETFL) & O_APPEND) != 0; }

int AccessModeOf(int fd) { return ::fcntl(fd, F_GETFL) & O_ACCMODE; }

Result<struct statvfs> SpaceOf(int fd) {
  struct statvfs space {};
  TIERFS_TRY(Try("fstatvfs", [&] { return ::fstatvfs(fd, &space); }));
  return space;
}

}  // namespace tierfs
