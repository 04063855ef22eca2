#pragma once

#include <sys/types.h>

#include <limits>

#include "fs/os/result.h"

namespace tierfs {

inline constexpr off_t kAllData = std::numeric_limits<off_t>::max();

// Copies the first `limit` bytes of the regular file `from` to the empty file `to`, holes kept: by
// reflink where the file system can, else copy_file_range, else read and write. Nothing is durable
// until the caller's fsync. Moves neither file's offset that the caller could rely on.
[[nodiscard]] Status CopyFileData(int from, int to, off_t limit = kAllData);

}  // namespace tierfs
