// Showing paths of the catalogue.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "fs/jobs/live_mount.h"

namespace tierfs::tools {

// As it is when all of it is printable, else in quotes with C escapes: one line for every name, and no two names alike.
[[nodiscard]] std::string Quoted(const std::string& path);

// {"path": ...}, and {"bytes": hexadecimal} beside it when it is not UTF-8.
[[nodiscard]] nlohmann::json PathToJson(const std::string& path);

}  // namespace tierfs::tools
