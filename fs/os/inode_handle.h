// Finds an inode again without a name, by the handles of its file system (open_by_handle_at(2)).
// This works on ext4, XFS, btrfs, squashfs, and others whose handles have the form of theirs.
#pragma once

#include <cstdint>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Returns the generation of the entry `name` in `dir`, or of `dir` itself if the name is empty. It
// tells the inode from earlier ones with its number. ESTALE if the entry is another inode than
// `inode`, EOPNOTSUPP if the file system has no handles of a known form.
[[nodiscard]] Result<std::uint32_t> GenerationOf(int dir, const char* name, std::uint64_t inode);

// Opens the inode with this number on the file system of the directory `root`, whatever its
// generation. The descriptor is O_PATH. ESTALE if there is none, EOPNOTSUPP as above. The inode may
// be anywhere on the file system: the caller must prove that it is beneath `root`. Needs
// CAP_DAC_READ_SEARCH, and CAP_SYS_ADMIN for XFS.
[[nodiscard]] Result<UniqueFd> OpenInode(int root, std::uint64_t inode);

}  // namespace tierfs
