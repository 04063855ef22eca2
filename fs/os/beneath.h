// Opening files beneath a root that a hostile symlink cannot lead out of.
#pragma once

#include <sys/stat.h>

#include <string>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Opens `path` (relative; "" is the root itself) beneath the directory `root`: no component may be
// a symlink, no ".." may leave it (openat2(2): RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
// RESOLVE_NO_MAGICLINKS). ELOOP where a symlink stands in the way.
[[nodiscard]] Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags, mode_t mode = 0);

// The single component `name` in the directory `dir`, never following it when it is a symlink.
[[nodiscard]] Result<UniqueFd> OpenEntry(int dir, const char* name, int flags, mode_t mode = 0);

// lstat of `name` in `dir`.
[[nodiscard]] Result<struct stat> StatEntry(int dir, const char* name);

// fstat; works on O_PATH descriptors.
[[nodiscard]] Result<struct stat> StatFd(int fd);

// fsync of a directory that is open (O_PATH will do): the names in it are durable on return.
[[nodiscard]] Status SyncDirectory(int dir);

// A path through /proc that names the entry `name` of `dir` (or the file `fd` itself), for the
// calls that take only a path. The last component is not followed by the l* calls. Valid while the
// descriptor is open.
[[nodiscard]] std::string ProcPath(int fd);
[[nodiscard]] std::string ProcPath(int dir, const char* name);

}  // namespace tierfs
