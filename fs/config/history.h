// The tables [version] and [gate] of a config.
#pragma once

#include <toml++/toml.h>

#include "fs/config/config.h"

namespace tierfs {

// Reads the tables into `config`, whose name, file, state and tiers are set. A config without
// [version] keeps no history.
[[nodiscard]] ConfigResult<void> ReadHistory(const toml::table& table, Config& config);

}  // namespace tierfs
