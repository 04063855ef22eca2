// The system calls that change entries of directories, each once. A test can fail any of them
// (Fault::Planned), as it can fail the calls of beneath.h.
#pragma once

#include <sys/stat.h>

#include <string>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

[[nodiscard]] Status MakeDirectoryEntry(int dir, const char* name, mode_t mode);
[[nodiscard]] Status MakeNodeEntry(int dir, const char* name, mode_t mode, dev_t device);
[[nodiscard]] Status MakeSymlinkEntry(const char* target, int dir, const char* name);
// One more name for the entry `from_name` in `from_dir`, or, with an empty name, for the open file
// `from_dir` itself.
[[nodiscard]] Status LinkEntry(int from_dir, const char* from_name, int dir, const char* name);
// `flags` of renameat2(2).
[[nodiscard]] Status RenameEntry(int from_dir, const char* from_name, int dir, const char* name, unsigned flags);
[[nodiscard]] Status RemoveEntry(int dir, const char* name);
[[nodiscard]] Status RemoveDirectoryEntry(int dir, const char* name);

// Of the entry, not followed; with an empty name of the open file `dir` itself. -1 leaves an owner
// alone, UTIME_OMIT a time.
[[nodiscard]] Status ChangeEntryOwner(int dir, const char* name, uid_t uid, gid_t gid);
[[nodiscard]] Status ChangeEntryTimes(int dir, const char* name, const timespec& atime, const timespec& mtime);
[[nodiscard]] Result<std::string> ReadLinkEntry(int dir, const char* name);

// Another descriptor of the same open file, and the same file opened anew.
[[nodiscard]] Result<UniqueFd> Duplicate(int fd);
[[nodiscard]] Result<UniqueFd> Reopen(int fd, int flags);
[[nodiscard]] Status Truncate(int file, off_t size);
// fsync(2) of a file or directory that is open for reading.
[[nodiscard]] Status Sync(int fd);

}  // namespace tierfs
