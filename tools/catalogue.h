// Showing paths of the catalogue.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/jobs/live_mount.h"
#include "fs/os/paths.h"

namespace tierfs::tools {

// {"path": ...}, and {"bytes": hexadecimal} beside it when it is not UTF-8.
[[nodiscard]] nlohmann::json PathToJson(const std::string& path);

}  // namespace tierfs::tools
