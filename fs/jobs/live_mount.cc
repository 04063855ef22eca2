#include "fs/jobs/live_mount.h"

#include <cerrno>
#include <cstring>

#include "fs/jobs/served_layers.h"
#include "fs/os/mount_table.h"

namespace tierfs {

namespace {

// Says why a daemon did not answer. A mount that the kernel still shows has lost its daemon or its
// state directory.
std::string Describe(const Config& config, const Error& error) {
  const bool absent = error.code == ENOENT || error.code == ECONNREFUSED;
  if (const std::string mountpoint = absent ? MountpointOf(config) : ""; !mountpoint.empty()) {
    return "mounted at " + mountpoint + ", but no daemon answers in " + config.state +
           ": it has died, or the state directory was replaced under it; umount " + mountpoint + " and mount again";
  }
  if (absent) return "not mounted: no daemon answers";
  if (error.code != ETIMEDOUT) return std::string(error.step) + ": " + std::strerror(error.code);
  const auto daemon = FindDaemon(config.state);
  if (!daemon) return "the daemon does not answer";
  const std::string process = std::to_string(daemon->pid);
  if (daemon->stopped) return "the daemon, process " + process + ", is stopped; `kill -CONT " + process + "` lets it go on";
  return "the daemon, process " + process + ", does not answer";
}

}  // namespace

std::string ErrorLine(const Config& config, const std::string& text) { return "tierctl: '" + config.name + "': " + text; }

std::string MountpointOf(const Config& config) {
  for (const MountedFs& mount : TierfsMounts()) {
    if (mount.config == config.file) return mount.mountpoint;
  }
  return "";
}

tl::expected<nlohmann::json, std::string> AskInJson(const Config& config, const nlohmann::json& request, Patience patience) {
  const auto reply = AskDaemon(config.state, request, patience);
  if (!reply) return tl::unexpected(Describe(config, reply.error()));
  if (!reply->value("ok", false)) return tl::unexpected(reply->value("error", "the daemon refused"));
  return *reply;
}

tl::expected<void, std::string> CheckReady(const Config& config) {
  const auto daemon = Ask(config, protocol::Status{});
  if (!daemon) return tl::unexpected(daemon.error());
  const auto replaced = ReplacedLayers(config, *daemon);
  if (!replaced.empty()) return tl::unexpected(ErrorLine(config, replaced.front().Line()));
  return {};
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
