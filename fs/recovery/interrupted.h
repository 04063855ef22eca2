#pragma once

#include <cstddef>

#include "fs/os/result.h"
#include "fs/tier/layer.h"

namespace tierfs {

// After a daemon that was killed: gives each directory that was being cloned into a tier
// (kUnfinishedDirMode) the attributes of its uppermost finished part, and removes whiteouts beside
// an entry of their name, which shielded it for a moment. Reads every directory of the tiers, looks
// at no file. Before the mount answers. The number of entries that were put right.
[[nodiscard]] Result<std::size_t> FinishInterrupted(const LayerSet& layers);

}  // namespace tierfs
