// Makes everything that was written through a mount durable. The kernel sends a FUSE server no
// FUSE_SYNCFS (fs/fuse/inode.c: sync_fs is set for virtiofs alone), so syncfs on the mount cannot.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"

namespace tierfs {

struct SyncReport {
  std::uint64_t mapped = 0;               // files whose mapped pages were written out first
  std::vector<std::string> file_systems;  // a directory of each file system that was synced
};

// Returns once all that was written before the call is on the disks: dirty pages of mapped files,
// the tiers, and the catalogue with its state directory. Works with and without a mount. The error
// is one line; the other file systems are then synced all the same.
[[nodiscard]] tl::expected<SyncReport, std::string> SyncMount(const Config& config);

}  // namespace tierfs
