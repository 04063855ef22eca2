#include "tools/mounts.h"

#include <filesystem>
#include <iostream>

namespace tierfs::tools {
namespace fs = std::filesystem;

std::optional<MountedFs> MountOf(const std::string& absolute_path) {
  std::optional<MountedFs> best;
  for (const MountedFs& mount : TierfsMounts()) {
    const bool above = absolute_path == mount.mountpoint || absolute_path.rfind(mount.mountpoint + "/", 0) == 0;
    if (above && (!best || mount.mountpoint.size() >= best->mountpoint.size())) best = mount;
  }
  return best;
}

tl::expected<Config, std::string> FindConfig(const std::string& what) {
  std::string path = what;
  std::error_code ignored;
  // A mountpoint is looked up in the mount table alone: to touch it would wait for a daemon that
  // does not answer.
  const std::string absolute = AbsolutePath(what);
  if (const auto mount = MountOf(absolute); mount && mount->mountpoint == absolute) {
    path = mount->config;
  } else if (fs::is_directory(what, ignored)) {
    return tl::unexpected("tierctl: no tierfs is mounted at " + what);
  } else if (!fs::exists(what, ignored) && what.find('/') == std::string::npos) {
    path = "/etc/tierfs/" + what + ".toml";
  }
  auto config = LoadConfig(path);
  if (!config) return tl::unexpected(config.error().Render());
  return *config;
}

std::optional<Config> ConfigFor(const std::string& what, Outcome& outcome) {
  auto config = FindConfig(what);
  if (config) return std::move(*config);
  std::cerr << config.error() << "\n";
  outcome.code = kUsage;
  return std::nullopt;
}

std::string AbsolutePath(const std::string& path) {
  std::error_code ignored;
  const fs::path absolute = fs::absolute(path, ignored).lexically_normal();
  const fs::path whole = absolute.filename().empty() ? absolute.parent_path() : absolute;
  return (fs::weakly_canonical(whole.parent_path(), ignored) / whole.filename()).string();
}

}  // namespace tierfs::tools
