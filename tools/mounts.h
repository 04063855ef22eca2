// Finds mounts and their configs.
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

// Returns the mount that holds a path: the one with the longest mountpoint above it.
[[nodiscard]] std::optional<MountedFs> MountOf(const std::string& absolute_path);

// Returns the config that `what` names: a config file, a mountpoint, or NAME for
// /etc/tierfs/NAME.toml. The error is one line.
[[nodiscard]] tl::expected<Config, std::string> FindConfig(const std::string& what);

// The same for a verb. If there is no such config, it says so on stderr and sets the exit code for
// wrong usage.
[[nodiscard]] std::optional<Config> ConfigFor(const std::string& what, Outcome& outcome);

// Returns an absolute path without "." and "..". Symlinks above the last component are resolved. A
// path that does not exist is taken as written.
[[nodiscard]] std::string AbsolutePath(const std::string& path);

}  // namespace tierfs::tools
