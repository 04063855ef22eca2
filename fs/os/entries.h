// The system calls that change directory entries, one function each. A test can make any of them
// fail (Fault::Planned), and likewise the calls of beneath.h.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <string>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

[[nodiscard]] Status MakeDirectoryEntry(int dir, const char* name, mode_t mode);
[[nodiscard]] Status MakeNodeEntry(int dir, const char* name, mode_t mode, dev_t device);
[[nodiscard]] Status MakeSymlinkEntry(const char* target, int dir, const char* name);
// Adds a name for the entry `from_name` in `from_dir`. If `from_name` is empty, adds one for the
// open file `from_dir` itself.
[[nodiscard]] Status LinkEntry(int from_dir, const char* from_name, int dir, const char* name);
// `flags` are those of renameat2(2).
[[nodiscard]] Status RenameEntry(int from_dir, const char* from_name, int dir, const char* name, unsigned flags);
[[nodiscard]] Status RemoveEntry(int dir, const char* name);
[[nodiscard]] Status RemoveDirectoryEntry(int dir, const char* name);

// These change the entry without following it. With an empty name they change the open file `dir`
// itself. -1 keeps an owner, UTIME_OMIT keeps a time.
[[nodiscard]] Status ChangeEntryOwner(int dir, const char* name, uid_t uid, gid_t gid);
[[nodiscard]] Status ChangeEntryTimes(int dir, const char* name, const timespec& atime, const timespec& mtime);
// Returns the value of an xattr of the entry; ERANGE if it is longer than `limit` bytes.
[[nodiscard]] Result<std::string> ReadXattrEntry(int dir, const char* name, const char* xattr, std::size_t limit);
[[nodiscard]] Result<std::string> ReadLinkEntry(int dir, const char* name);

// Opens a directory by its path, and follows symlinks in it.
[[nodiscard]] Result<UniqueFd> OpenDirectory(const std::string& path, int flags);
// Duplicate shares the open file; Reopen opens the same file anew.
[[nodiscard]] Result<UniqueFd> Duplicate(int fd);
[[nodiscard]] Result<UniqueFd> Reopen(int fd, int flags);
[[nodiscard]] Status Truncate(int file, off_t size);
// fsync(2) of a file or directory that is open for reading.
[[nodiscard]] Status Sync(int fd);
// fdatasync(2): the content is durable on return, and the pages of mappings are written out.
[[nodiscard]] Status SyncData(int file);
// Changes the mode of the open file itself; an O_PATH descriptor will do.
[[nodiscard]] Status ChangeMode(int fd, mode_t mode);
// Puts a directory that was read back to its start.
[[nodiscard]] Status Rewind(int directory);
// Returns O_RDONLY, O_WRONLY or O_RDWR, as the file was opened.
[[nodiscard]] int AccessModeOf(int fd);
// Whether every write to the descriptor appends (O_APPEND).
[[nodiscard]] bool OnlyAppends(int fd);
[[nodiscard]] Result<struct statvfs> SpaceOf(int fd);

}  // namespace tierfs
