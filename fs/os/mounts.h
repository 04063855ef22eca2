// The mount that a file is on, and private copies of it.
#pragma once

#include <cstdint>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Returns the number of the mount that the file is on. Two binds of one file system are two mounts.
[[nodiscard]] Result<std::uint64_t> MountOf(int fd);

// Returns a private copy of the mount of `root`. With `noatime` it does not update access times;
// the mount option promises this also for reads that the kernel passes straight to the backing
// file. Needs CAP_SYS_ADMIN.
[[nodiscard]] Result<UniqueFd> ClonePrivate(int root, bool noatime);

// Returns a private copy of the mount of the directory, and of all mounts beneath it, that cannot
// be written through. Needs CAP_SYS_ADMIN.
[[nodiscard]] Result<UniqueFd> CloneReadOnly(int directory);
// Puts such a copy over the directory `place`, which may be an O_PATH descriptor.
[[nodiscard]] Status MountOver(int copy, int place);

}  // namespace tierfs
