#pragma once

#include <sys/types.h>

#include <limits>

#include "fs/os/result.h"

namespace tierfs {

inline constexpr off_t kAllData = std::numeric_limits<off_t>::max();

// Copies the first `limit` bytes of the regular file `from` to the empty file `to` and keeps holes.
// Uses a reflink if the file system can, else copy_file_range, else read and write. Nothing is
// durable until the caller's fsync. The file offsets of both descriptors are undefined on return.
[[nodiscard]] Status CopyFileData(int from, int to, off_t limit = kAllData);

}  // namespace tierfs
