#pragma once

#include <cstddef>

#include "fs/os/result.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Repairs the tiers after the daemon was killed. Gives each unfinished clone of a directory
// (kUnfinishedDirMode) the attributes of its uppermost finished part. Removes each whiteout whose
// name is a file in another tier: it was a temporary shield. Reads every directory of the tiers and
// opens no other file. Must run before the mount serves requests. Returns the number of repaired
// entries.
[[nodiscard]] Result<std::size_t> FinishInterrupted(const LayerSet& layers);

}  // namespace tierfs
