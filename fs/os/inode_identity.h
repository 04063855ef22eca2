// Telling a file from every other that ever stands in its place.
#pragma once

#include <cstdint>

#include "fs/os/result.h"

namespace tierfs {

// Inode numbers are used again at once, a number together with its time of birth is not. Never 0.
// The entry `name` in `dir`, not followed; on a file system that keeps no time of birth it is the
// number alone.
[[nodiscard]] Result<std::uint64_t> InodeIdentity(int dir, const char* name);

}  // namespace tierfs
