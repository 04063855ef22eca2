// The table [snapshot] of a config, with its [[snapshot.hook]].
#pragma once

#include <toml++/toml.h>

#include "fs/config/config.h"

namespace tierfs {

// Reads the table into `config`, whose name and file are set. A config without [snapshot] makes no
// snapshots.
[[nodiscard]] ConfigResult<void> ReadSnapshot(const toml::table& table, Config& config);

}  // namespace tierfs
