// Reading the catalogue of a mount, and showing paths of it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include <tl/expected.hpp>

#include "fs/catalog/connection.h"
#include "fs/config/config.h"

namespace tierfs::tools {

// Runs `work` on a snapshot of the mount's database. The error is one line.
[[nodiscard]] tl::expected<void, std::string> ReadCatalogue(const Config& config, const std::function<void(Connection&)>& work);

// As it is when all of it is printable, else in quotes with C escapes: one line for every name, and no two names alike.
[[nodiscard]] std::string Quoted(const std::string& path);

// {"path": ...}, and {"bytes": hexadecimal} beside it when it is not UTF-8.
[[nodiscard]] nlohmann::json PathToJson(const std::string& path);

}  // namespace tierfs::tools
