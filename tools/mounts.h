// Finding mounts and their configs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/jobs/live_mount.h"
#include "fs/os/mount_table.h"
#include "tools/verb.h"

namespace tierfs::tools {

// The mount that a path is in: the one with the longest mountpoint above it.
[[nodiscard]] std::optional<MountedFs> MountOf(const std::string& absolute_path);

// The config that `what` means: a config file, a mountpoint, or NAME for /etc/tierfs/NAME.toml. The
// error is one line.
[[nodiscard]] tl::expected<Config, std::string> FindConfig(const std::string& what);

// The same for a verb: what it cannot find is said on stderr, and is wrong usage.
[[nodiscard]] std::optional<Config> ConfigFor(const std::string& what, Outcome& outcome);

// Absolute, without "." and "..", symlinks above the last component resolved; what does not exist
// is taken as written.
[[nodiscard]] std::string AbsolutePath(const std::string& path);

}  // namespace tierfs::tools
