// Checksums of file contents: XXH3, 128 bits.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "fs/catalog/entries.h"
#include "fs/os/result.h"

namespace tierfs {

// The sum of all that the open file holds, 16 bytes. `progress` hears of each piece that was read
// (bytes) and may stop it by false: then ECANCELED.
[[nodiscard]] Result<std::string> ChecksumOf(int file, const std::function<bool(std::size_t)>& progress);
[[nodiscard]] std::string HexOf(const std::string& hash);

// The file of a row, opened for reading without moving its access time, when it is still what the
// row says (inode, size, times) and nobody has it open or mapped for writing; else EAGAIN.
[[nodiscard]] Result<UniqueFd> OpenAsRecorded(int root, const Row& row);
// Whether the open file still is what the row says.
[[nodiscard]] bool IsAsRecorded(int file, const Row& row);

}  // namespace tierfs
