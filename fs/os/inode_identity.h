// Distinguishes a file from every later file with the same inode number.
#pragma once

#include <cstdint>

#include "fs/os/result.h"

namespace tierfs {

// Returns an identity of the entry `name` in `dir`, without following it. Never 0. File systems
// reuse inode numbers at once, but a number together with its birth time is unique. On a file
// system without birth times it is the number alone.
[[nodiscard]] Result<std::uint64_t> InodeIdentity(int dir, const char* name);

}  // namespace tierfs
