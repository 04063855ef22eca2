// A mount as a job sees it: its daemon, and its catalogue.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include <tl/expected.hpp>

#include "fs/catalog/connection.h"
#include "fs/config/config.h"

namespace tierfs {

// Asks the daemon of a mount. The error is one line: no daemon answers, or it refuses.
[[nodiscard]] tl::expected<nlohmann::json, std::string> Ask(const Config& config, const nlohmann::json& request);

// Runs `work` on a snapshot of the mount's database. The error is one line.
[[nodiscard]] tl::expected<void, std::string> ReadCatalogue(const Config& config, const std::function<void(Connection&)>& work);

}  // namespace tierfs
