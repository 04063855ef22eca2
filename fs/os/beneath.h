// Opens files beneath a root. A hostile symlink cannot lead out of it.
#pragma once

#include <sys/stat.h>

#include <string>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Opens `path` (relative; "" is the root itself) beneath the directory `root`. No component may be
// a symlink and no ".." may leave the root (openat2(2): RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
// RESOLVE_NO_MAGICLINKS). Returns ELOOP if a component is a symlink.
[[nodiscard]] Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags, mode_t mode = 0);

// Opens the single component `name` in the directory `dir`. Never follows it if it is a symlink.
[[nodiscard]] Result<UniqueFd> OpenEntry(int dir, const char* name, int flags, mode_t mode = 0);

// lstat of `name` in `dir`.
[[nodiscard]] Result<struct stat> StatEntry(int dir, const char* name);

// fstat; works on O_PATH descriptors.
[[nodiscard]] Result<struct stat> StatFd(int fd);

// fsync of an open directory (O_PATH is enough). The names in it are durable on return.
[[nodiscard]] Status SyncDirectory(int dir);

// Returns a path through /proc for calls that take only a path. It names the entry `name` of `dir`,
// or the file `fd` itself. The l* calls do not follow its last component. Valid while the
// descriptor is open.
[[nodiscard]] std::string ProcPath(int fd);
[[nodiscard]] std::string ProcPath(int dir, const char* name);

}  // namespace tierfs
