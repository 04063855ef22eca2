#pragma once

#include <string>

#include <tl/expected.hpp>

#include "fs/daemon/daemonize.h"
#include "fs/daemon/options.h"

namespace tierfs {

// Mounts and serves until the mount is gone. The error is one line for the user.
[[nodiscard]] tl::expected<void, std::string> RunDaemon(const DaemonOptions& options, Background& background);

// Changes the flags of the mount at `mountpoint` to those of the options.
[[nodiscard]] tl::expected<void, std::string> Remount(const DaemonOptions& options);

}  // namespace tierfs
