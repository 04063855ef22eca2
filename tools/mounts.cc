#include "tools/mounts.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "fs/control/control.h"

namespace tierfs::tools {
namespace fs = std::filesystem;
namespace {

// Undoes the octal escapes of mountinfo (proc(5): space, tab, newline, backslash).
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<MountedFs> AllMounts() {
  std::vector<MountedFs> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream left(line.substr(0, separator));
    std::istringstream right(line.substr(separator + 3));
    std::string ignored;
    std::string mountpoint;
    left >> ignored >> ignored >> ignored >> ignored >> mountpoint;
    std::string type;
    std::string source;
    right >> type >> source;
    if (type == "fuse.tierfs") mounts.push_back({Unescape(mountpoint), Unescape(source)});
  }
  return mounts;
}

std::optional<MountedFs> MountOf(const std::string& absolute_path) {
  std::optional<MountedFs> best;
  for (const MountedFs& mount : AllMounts()) {
    const bool above = absolute_path == mount.mountpoint || absolute_path.rfind(mount.mountpoint + "/", 0) == 0;
    if (above && (!best || mount.mountpoint.size() >= best->mountpoint.size())) best = mount;
  }
  return best;
}

tl::expected<Config, std::string> FindConfig(const std::string& what) {
  std::string path = what;
  std::error_code ignored;
  if (fs::is_directory(what, ignored)) {
    const auto mount = MountOf(AbsolutePath(what));
    if (!mount || mount->mountpoint != AbsolutePath(what)) return tl::unexpected("tierctl: no tierfs is mounted at " + what);
    path = mount->config;
  } else if (!fs::exists(what, ignored) && what.find('/') == std::string::npos) {
    path = "/etc/tierfs/" + what + ".toml";
  }
  auto config = LoadConfig(path);
  if (!config) return tl::unexpected(config.error().Render());
  return *config;
}

tl::expected<nlohmann::json, std::string> Ask(const Config& config, const nlohmann::json& request) {
  const auto reply = AskDaemon(config.state, request);
  if (!reply) {
    const bool absent = reply.error().code == ENOENT || reply.error().code == ECONNREFUSED;
    return tl::unexpected("tierctl: '" + config.name + "': " + (absent ? "not mounted: no daemon answers" : std::string(reply.error().step) + ": " + std::strerror(reply.error().code)));
  }
  if (!reply->value("ok", false)) return tl::unexpected("tierctl: '" + config.name + "': " + reply->value("error", "the daemon refused"));
  return *reply;
}

std::string AbsolutePath(const std::string& path) {
  std::error_code ignored;
  const fs::path absolute = fs::absolute(path, ignored).lexically_normal();
  const fs::path whole = absolute.filename().empty() ? absolute.parent_path() : absolute;
  return (fs::weakly_canonical(whole.parent_path(), ignored) / whole.filename()).string();
}

}  // namespace tierfs::tools
