// Shows paths from the catalogue.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/jobs/live_mount.h"
#include "fs/os/paths.h"

namespace tierfs::tools {

// Returns {"path": ...}, with {"bytes": hexadecimal} beside it if the path is not UTF-8.
[[nodiscard]] nlohmann::json PathToJson(const std::string& path);

}  // namespace tierfs::tools
