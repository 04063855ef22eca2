// Checks the directories of a config against the disk.
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "fs/config/config.h"
#include "fs/config/identity.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

struct Named {
  std::string key;   // in the config
  std::string what;  // as text for the user
  std::string path;  // resolved
};

bool Within(const std::string& inner, const std::string& outer) {
  const std::string prefix = outer == "/" ? outer : outer + "/";
  return inner.size() > prefix.size() ? inner.compare(0, prefix.size(), prefix) == 0 : inner == outer;
}

// Whether the path is a directory according to the file system that serves it. The kernel's cache
// of a FUSE mount still shows a directory after its daemon has died; statfs(2) is never cached.
bool IsServedDirectory(const fs::path& path, std::error_code& problem) {
  struct statfs served {};
  if (!fs::is_directory(path, problem)) return false;
  if (::statfs(path.c_str(), &served) == 0) return true;
  problem = std::error_code(errno, std::generic_category());
  return false;
}

std::vector<Named> LayersOf(const Config& config) {
  std::vector<Named> places;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    places.push_back({"tier." + std::to_string(tier), "tier " + std::to_string(tier), config.tiers[static_cast<std::size_t>(tier - 1)]});
  }
  for (const std::string& lower : config.lower) places.push_back({"lower", "the lower layer", lower});
  return places;
}

// A mountpoint given only on the command line has no line in the file; line 1 is then named.
tl::unexpected<ConfigError> KeyError(const Config& config, const std::string& key, std::string message) {
  return tl::unexpected(ConfigError{config.file, std::max<std::size_t>(config.LineOf(key), 1), std::move(message)});
}

tl::unexpected<ConfigError> OneDirectory(const Config& config, const Named& a, const Named& b) {
  if (a.key == "lower" && b.key == "lower") {
    return KeyError(config, a.key, a.what + " " + a.path + " is named twice; once is enough");
  }
  return KeyError(config, a.key, a.what + " and " + b.what + " are one directory, " + a.path + "; give each its own");
}

// Finds two names of one directory whose paths do not show it: a bind mount.
ConfigResult<void> CheckDifferent(const Config& config, const std::vector<Named>& layers) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    for (std::size_t j = i + 1; j < layers.size(); ++j) {
      std::error_code ignored;
      if (fs::equivalent(layers[i].path, layers[j].path, ignored)) return OneDirectory(config, layers[i], layers[j]);
    }
  }
  return {};
}

}  // namespace

ConfigResult<void> CheckApart(const Config& config, const std::string& mountpoint) {
  std::error_code ignored;
  std::vector<Named> places = LayersOf(config);
  if (!mountpoint.empty()) places.push_back({"mountpoint", "the mountpoint", mountpoint});
  places.push_back({"state", "the state directory", config.state});
  if (config.version) places.push_back({"version.repo", "the repository", config.version->repo});
  if (config.snapshot) {
    places.push_back({"snapshot.path", "the directory of the snapshots", config.snapshot->path});
    if (!config.snapshot->store.empty()) places.push_back({"snapshot.store", "the store of the snapshots", config.snapshot->store});
  }
  for (Named& place : places) {
    // A mount whose daemon has died does not answer; what leads to it does.
    const fs::path given(place.path);
    fs::path resolved = fs::weakly_canonical(given, ignored);
    if (resolved.empty()) resolved = fs::weakly_canonical(given.parent_path(), ignored) / given.filename();
    place.path = resolved.string();
  }

  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < places.size(); ++j) {
      if (i == j) continue;
      const Named& inner = places[i];
      const Named& outer = places[j];
      if (inner.path == outer.path) {
        if (i < j) return OneDirectory(config, inner, outer);
      } else if (Within(inner.path, outer.path) && !(inner.key == "snapshot.store" && outer.key == "state")) {
        return KeyError(config, inner.key,
                        inner.what + " (" + inner.path + ") is within " + outer.what + " (" + outer.path + "); move one of them out");
      }
    }
  }
  return {};
}

ConfigResult<void> CheckPaths(const Config& config, const std::string& mountpoint) {
  for (const Named& place : LayersOf(config)) {
    std::error_code problem;
    const fs::path real = fs::canonical(place.path, problem);
    const bool directory = !problem && IsServedDirectory(real, problem);
    if (problem) {
      const std::string mend = place.key == "lower" ? "is its file system mounted?"
                                                    : "is its disk mounted? " + InitCommand(config) + " makes new tier directories";
      return KeyError(config, place.key, place.what + ": " + place.path + ": " + problem.message() + "; " + mend);
    }
    if (!directory) return KeyError(config, place.key, place.what + ": " + place.path + " is not a directory");
    if (::access(real.c_str(), R_OK | X_OK) != 0) {
      return KeyError(config, place.key, place.what + ": " + place.path + ": " + std::strerror(errno) + "; it has to be readable");
    }
  }
  if (!mountpoint.empty()) {
    std::error_code problem;
    const bool directory = IsServedDirectory(mountpoint, problem);
    if (problem == std::errc::not_connected) {
      return KeyError(config, "mountpoint", "the daemon that served " + mountpoint + " has died; umount " + mountpoint + " first");
    }
    if (problem)
      return KeyError(config, "mountpoint", "the mountpoint " + mountpoint + ": " + problem.message() + "; make the directory first");
    if (!directory) return KeyError(config, "mountpoint", "the mountpoint " + mountpoint + " is not a directory");
  }
  if (auto apart = CheckApart(config, mountpoint); !apart) return apart;
  return CheckDifferent(config, LayersOf(config));
}

}  // namespace tierfs
