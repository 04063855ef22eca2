#include "fs/config/identity.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <random>

namespace tierfs {
namespace fs = std::filesystem;
namespace {

const char* MarkName() { return ::geteuid() == 0 ? "trusted.tierfs.mark" : "user.tierfs.mark"; }

struct Mark {
  std::string name;
  int tier = 0;
  std::string id;
};

std::optional<Mark> ReadMark(const std::string& directory) {
  char text[512];
  const ssize_t size = ::getxattr(directory.c_str(), MarkName(), text, sizeof text);
  if (size <= 0) return std::nullopt;
  const std::string mark(text, static_cast<std::size_t>(size));
  const std::size_t first = mark.find('/');
  const std::size_t second = first == std::string::npos ? first : mark.find('/', first + 1);
  if (second != first + 2) return std::nullopt;
  return Mark{mark.substr(0, first), mark[first + 1] - '0', mark.substr(second + 1)};
}

std::string RandomId() {
  std::random_device random;
  std::string id;
  for (int word = 0; word < 4; ++word) {
    char text[9];
    std::snprintf(text, sizeof text, "%08x", random());
    id += text;
  }
  return id;
}

std::string KeyOf(int tier) { return "tier." + std::to_string(tier); }

}  // namespace

ConfigResult<std::vector<InitStep>> InitTiers(const Config& config, bool adopt, bool dry_run) {
  std::vector<InitStep> steps;
  const auto error = [&](int tier, std::string message) {
    return tl::unexpected(ConfigError{config.file, config.LineOf(KeyOf(tier)), std::move(message)});
  };
  // Everything is checked before anything is changed.
  std::string id;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const std::string& path = config.tiers[static_cast<std::size_t>(tier - 1)];
    std::error_code problem;
    if (!fs::exists(path, problem)) continue;
    if (!fs::is_directory(path, problem)) return error(tier, path + " is not a directory");
    if (const auto mark = ReadMark(path)) {
      if (mark->name != config.name || mark->tier != tier) {
        return error(tier, path + " belongs to tier " + std::to_string(mark->tier) + " of '" + mark->name + "'; give this mount a directory of its own");
      }
      if (!id.empty() && id != mark->id) return error(tier, path + " was initialised at another time than the other tiers; is the right disk mounted?");
      id = mark->id;
    } else if (!adopt && !fs::is_empty(path, problem)) {
      return error(tier, path + " is not empty and not marked; `tierctl init --adopt` takes it as it is");
    }
  }
  if (id.empty()) id = RandomId();
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const std::string& path = config.tiers[static_cast<std::size_t>(tier - 1)];
    std::error_code problem;
    if (!fs::exists(path, problem)) {
      steps.push_back({"make " + path});
      if (!dry_run && !fs::create_directories(path, problem) && problem) return error(tier, "cannot make " + path + ": " + problem.message());
    } else if (ReadMark(path)) {
      continue;
    }
    steps.push_back({"mark " + path + " as tier " + std::to_string(tier) + " of '" + config.name + "'"});
    const std::string mark = config.name + "/" + std::to_string(tier) + "/" + id;
    if (!dry_run && ::setxattr(path.c_str(), MarkName(), mark.data(), mark.size(), 0) != 0) {
      return error(tier, "cannot mark " + path + ": " + std::strerror(errno) + "; the file system has to keep extended attributes");
    }
  }
  std::error_code problem;
  if (!fs::exists(config.state, problem)) {
    steps.push_back({"make " + config.state});
    if (!dry_run) {
      fs::create_directories(config.state, problem);
      if (!problem) fs::permissions(config.state, fs::perms::owner_all, problem);
      if (problem) return tl::unexpected(ConfigError{config.file, config.LineOf("state"), "cannot make " + config.state + ": " + problem.message()});
    }
  }
  return steps;
}

ConfigResult<void> CheckIdentity(const Config& config) {
  std::string id;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const std::string& path = config.tiers[static_cast<std::size_t>(tier - 1)];
    const auto error = [&](std::string message) {
      return tl::unexpected(ConfigError{config.file, config.LineOf(KeyOf(tier)), "tier " + std::to_string(tier) + ": " + path + " " + std::move(message)});
    };
    const auto mark = ReadMark(path);
    if (!mark) return error("has no identity mark; is its disk mounted? For a new tier: tierctl init " + config.file);
    if (mark->name != config.name || mark->tier != tier) {
      return error("is marked as tier " + std::to_string(mark->tier) + " of '" + mark->name + "'; the config names the wrong directory");
    }
    if (!id.empty() && id != mark->id) return error("was initialised at another time than the tiers before it; is the right disk mounted?");
    id = mark->id;
  }
  return {};
}

}  // namespace tierfs
