// The mount that a file is on, and private copies of it.
#pragma once

#include <cstdint>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Returns the number of the mount that the file is on. Two binds of one file system are two mounts.
[[nodiscard]] Result<std::uint64_t> MountOf(int fd);

// Returns a private copy of the mount of `root` that does not update access times. The mount option
// noatime promises this also for reads that the kernel passes straight to the backing file. Needs
// CAP_SYS_ADMIN.
[[nodiscard]] Result<UniqueFd> CloneNoatime(int root);

}  // namespace tierfs
