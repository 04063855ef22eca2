// A job's access to a mount: its daemon and its catalogue.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include <tl/expected.hpp>

#include "fs/catalog/connection.h"
#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/control/protocol.h"

namespace tierfs {

// "tierctl: 'acng': TEXT"
[[nodiscard]] std::string ErrorLine(const Config& config, const std::string& text);

// Sends a request to the daemon of a mount. The error says that no daemon answers, or why it
// refuses.
[[nodiscard]] tl::expected<nlohmann::json, std::string> AskInJson(const Config& config, const nlohmann::json& request, Patience patience);
// Returns why a daemon must not be given a job: it does not answer, or a path of the config no
// longer leads to the directory that it works in.
[[nodiscard]] tl::expected<void, std::string> CheckReady(const Config& config);
// The same for a request type. A job is first checked with CheckReady. The error is one line.
template <typename Request>
[[nodiscard]] tl::expected<typename Request::Reply, std::string> Ask(const Config& config, const Request& request) {
  constexpr bool kIsJob = protocol::IsJob<Request>();
  if constexpr (kIsJob) {
    if (auto ready = CheckReady(config); !ready) return tl::unexpected(std::move(ready.error()));
  }
  const auto reply = AskInJson(config, protocol::ToJson(request), kIsJob ? Patience::kEndless : Patience::kShort);
  if (!reply) return tl::unexpected(ErrorLine(config, reply.error()));
  return reply->template get<typename Request::Reply>();
}

// Returns where the kernel's mount table shows the config's mount; "" if nowhere. It says nothing
// about the daemon, and does not touch the mount.
[[nodiscard]] std::string MountpointOf(const Config& config);

// Runs `work` on a snapshot of the mount's database. The error is one line.
[[nodiscard]] tl::expected<void, std::string> ReadCatalogue(const Config& config, const std::function<void(Connection&)>& work);

}  // namespace tierfs
