// Reads and writes at an offset, whole.
#pragma once

#include <sys/types.h>

#include "fs/os/result.h"

namespace tierfs {

// Returns the number of bytes; it is smaller than `size` only at the end of the file.
[[nodiscard]] Result<std::size_t> ReadAt(int file, char* buffer, std::size_t size, off_t offset);
[[nodiscard]] Status WriteAt(int file, const char* data, std::size_t size, off_t offset);

}  // namespace tierfs
