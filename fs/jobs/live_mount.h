// A job's access to a mount: its daemon and its catalogue.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include <tl/expected.hpp>

#include "fs/catalog/connection.h"
#include "fs/config/config.h"
#include "fs/control/protocol.h"

namespace tierfs {

// Sends a request to the daemon of a mount. The error is one line: no daemon answers, or it
// refuses.
[[nodiscard]] tl::expected<nlohmann::json, std::string> AskInJson(const Config& config, const nlohmann::json& request);
template <typename Request>
[[nodiscard]] tl::expected<typename Request::Reply, std::string> Ask(const Config& config, const Request& request) {
  const auto reply = AskInJson(config, protocol::ToJson(request));
  if (!reply) return tl::unexpected(reply.error());
  return reply->template get<typename Request::Reply>();
}

// Runs `work` on a snapshot of the mount's database. The error is one line.
[[nodiscard]] tl::expected<void, std::string> ReadCatalogue(const Config& config, const std::function<void(Connection&)>& work);

}  // namespace tierfs
