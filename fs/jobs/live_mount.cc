#include "fs/jobs/live_mount.h"

#include <cerrno>
#include <cstring>

#include "fs/control/control.h"

namespace tierfs {

tl::expected<nlohmann::json, std::string> AskInJson(const Config& config, const nlohmann::json& request) {
  const auto reply = AskDaemon(config.state, request);
  if (!reply) {
    const bool absent = reply.error().code == ENOENT || reply.error().code == ECONNREFUSED;
    return tl::unexpected(
        "tierctl: '" + config.name +
        "': " + (absent ? "not mounted: no daemon answers" : std::string(reply.error().step) + ": " + std::strerror(reply.error().code)));
  }
  if (!reply->value("ok", false)) return tl::unexpected("tierctl: '" + config.name + "': " + reply->value("error", "the daemon refused"));
  return *reply;
}

tl::expected<void, std::string> ReadCatalogue(const Config& config, const std::function<void(Connection&)>& work) {
  const std::string path = config.state + "/catalog.db";
  try {
    Connection connection(path, SQLite::OPEN_READONLY);
    connection.Run("BEGIN");
    work(connection);
    return {};
  } catch (const SQLite::Exception& problem) {
    return tl::unexpected("tierctl: " + path + ": " + problem.what());
  }
}

}  // namespace tierfs
