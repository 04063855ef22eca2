// Files that are mapped for writing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fs/control/protocol.h"

namespace tierfs::snapshot {

// Returns the files on the file system `device` that a process has mapped shared and for writing,
// as /proc/PID/maps lists them (proc(5)). `concerns` decides by the inode number. Needs root to see
// all processes.
[[nodiscard]] std::vector<protocol::MappedFile> WritableMappings(dev_t device, const std::function<bool(std::uint64_t inode)>& concerns);

// Whether the last part of the path matches one of the patterns (fnmatch(3)).
[[nodiscard]] bool MatchesName(const std::string& path, const std::vector<std::string>& patterns);
// Leaves out the files whose name matches one of the patterns.
[[nodiscard]] std::vector<protocol::MappedFile> WithoutNames(std::vector<protocol::MappedFile> files,
                                                             const std::vector<std::string>& patterns);

}  // namespace tierfs::snapshot
