// Checksums of file contents: XXH3, 128 bits.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "fs/catalog/entries.h"
#include "fs/os/result.h"

namespace tierfs {

// Returns the checksum, 16 bytes, of the whole open file. `progress` is called with the number of
// bytes of each piece read. If it returns false, the result is ECANCELED.
[[nodiscard]] Result<std::string> ChecksumOf(int file, const std::function<bool(std::size_t)>& progress);
[[nodiscard]] std::string HexOf(const std::string& hash);

// Opens the file of a row for reading, without moving its access time. Returns EAGAIN if the file
// no longer matches the row (inode, size, times) or is open or mapped for writing.
[[nodiscard]] Result<UniqueFd> OpenAsRecorded(int root, const Row& row);
// Whether the open file still matches the row.
[[nodiscard]] bool IsAsRecorded(int file, const Row& row);

}  // namespace tierfs
