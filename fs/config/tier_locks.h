// Locks on the tier directories themselves. They keep a second daemon, or a repair, off the tiers
// even if it has another config or state directory.
#pragma once

#include <vector>

#include "fs/config/config.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Locks each tier directory (flock(2)); the locks last as long as the descriptors. Fails if another
// process of this user keeps one for 10 s. Locks of other users do not count: any user who may read
// a directory can lock it. A file system that has no such locks is left unlocked.
[[nodiscard]] ConfigResult<std::vector<UniqueFd>> LockTiers(const Config& config);

}  // namespace tierfs
