// The directories of a config against the disk.
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "fs/config/config.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

struct Named {
  std::string key;   // in the config
  std::string what;  // for people
  std::string path;  // resolved
};

bool Within(const std::string& inner, const std::string& outer) {
  const std::string prefix = outer == "/" ? outer : outer + "/";
  return inner.size() > prefix.size() ? inner.compare(0, prefix.size(), prefix) == 0 : inner == outer;
}

}  // namespace

ConfigResult<void> CheckPaths(const Config& config, const std::string& mountpoint) {
  const auto error = [&](const std::string& key, std::string message) {
    return tl::unexpected(ConfigError{config.file, config.LineOf(key), std::move(message)});
  };
  std::vector<Named> places;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    places.push_back({"tier." + std::to_string(tier), "tier " + std::to_string(tier), config.tiers[static_cast<std::size_t>(tier - 1)]});
  }
  for (const std::string& lower : config.lower) places.push_back({"lower", "the lower layer", lower});

  for (Named& place : places) {
    std::error_code problem;
    const fs::path real = fs::canonical(place.path, problem);
    const std::string mend = place.key == "lower" ? "is its file system mounted?" : "is its disk mounted? `tierctl init " + config.file + "` makes new tier directories";
    if (problem) return error(place.key, place.what + ": " + place.path + ": " + problem.message() + "; " + mend);
    if (!fs::is_directory(real, problem)) return error(place.key, place.what + ": " + place.path + " is not a directory");
    place.path = real.string();
  }
  if (!mountpoint.empty()) {
    std::error_code problem;
    const fs::path real = fs::canonical(mountpoint, problem);
    if (problem) return error("mountpoint", "the mountpoint " + mountpoint + ": " + problem.message() + "; make the directory first");
    places.push_back({"mountpoint", "the mountpoint", real.string()});
  }
  std::error_code ignored;
  const fs::path state = fs::weakly_canonical(config.state, ignored);
  places.push_back({"state", "the state directory", state.string()});

  for (std::size_t i = 0; i < places.size(); ++i) {
    for (std::size_t j = 0; j < places.size(); ++j) {
      if (i == j) continue;
      const Named& inner = places[i];
      const Named& outer = places[j];
      // Lower layers may nest among themselves (a snapshot within another is never written), and the mountpoint may hold nothing of ours.
      if (inner.key == "lower" && outer.key == "lower") continue;
      if (inner.path == outer.path) {
        if (i < j) return error(inner.key, inner.what + " and " + outer.what + " are one directory, " + inner.path + "; give each its own");
      } else if (Within(inner.path, outer.path)) {
        return error(inner.key, inner.what + " (" + inner.path + ") is within " + outer.what + " (" + outer.path + "); move one of them out");
      }
    }
  }
  return {};
}

}  // namespace tierfs
