#include "fs/jobs/served_layers.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tierfs {
namespace {

bool LeadsTo(const std::string& path, const protocol::ServedLayer& layer) {
  struct stat st {};
  return !path.empty() && ::stat(path.c_str(), &st) == 0 && st.st_dev == layer.device && st.st_ino == layer.inode;
}

// Says what became of the directory that was opened as layer.path. `named` is its path in the
// config, which leads elsewhere.
ReplacedLayer Describe(const Config& config, const protocol::ServedLayer& layer, const std::string& named) {
  const std::string begin = layer.what + ": ";
  if (struct stat st{}; ::stat(named.c_str(), &st) != 0 && errno != ENOENT && errno != ENOTDIR) {
    return {begin + named + ": " + std::strerror(errno), "its file system has failed; the kernel's log says why"};
  }
  const std::string mark = layer.what.rfind("tier", 0) == 0 ? "`tierctl init --adopt " + config.file + "`, " : "";
  if (named != layer.path) {
    return {begin + "the config names " + named + ", the mount still uses " + layer.path, "unmount and mount again, or correct the config"};
  }
  if (layer.deleted) {
    return {begin + "the directory " + named + " was deleted under the mount, which can no longer write there",
            "unmount, restore it, " + mark + "mount again"};
  }
  if (LeadsTo(layer.place, layer)) {
    return {begin + "the directory that the mount uses was moved from " + named + " to " + layer.place,
            "unmount, move it back, mount again"};
  }
  std::error_code ignored;
  if (layer.place == std::filesystem::weakly_canonical(named, ignored).string()) {
    return {begin + "something is mounted over " + named + ", and the mount uses the directory beneath",
            "umount " + named + "; or, to use what is mounted there, unmount the tierfs and mount it again"};
  }
  return {begin + "the file system of " + named + " was unmounted under the mount, which still uses it",
          "unmount, mount that file system, mount again"};
}

}  // namespace

std::vector<ReplacedLayer> ReplacedLayers(const Config& config, const protocol::DaemonStatus& daemon) {
  std::vector<std::string> named(config.tiers.begin(), config.tiers.end());
  named.insert(named.end(), config.lower.begin(), config.lower.end());
  std::vector<ReplacedLayer> replaced;
  for (std::size_t i = 0; i < daemon.layers.size(); ++i) {
    const std::string path = i < named.size() ? named[i] : std::string();
    if (!LeadsTo(path, daemon.layers[i])) replaced.push_back(Describe(config, daemon.layers[i], path));
  }
  return replaced;
}

}  // namespace tierfs
