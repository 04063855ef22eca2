#include "fs/config/identity.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "fs/os/random_id.h"
#include "fs/os/result.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

const char* MarkName() { return ::geteuid() == 0 ? "trusted.tierfs.mark" : "user.tierfs.mark"; }

struct Mark {
  std::string name;
  int tier = 0;
  std::string id;
};

// Returns nullopt if there is no mark. A mark that cannot be read, or is not ours, is an error,
// never "no mark".
Result<std::optional<Mark>> ReadMark(const std::string& directory) {
  char text[512];
  const ssize_t size = ::getxattr(directory.c_str(), MarkName(), text, sizeof text);
  if (size < 0 && (errno == ENODATA || errno == ENOENT)) return std::nullopt;
  if (size < 0) return FailErrno("its identity mark cannot be read");
  const std::string mark(text, static_cast<std::size_t>(size));
  const std::size_t first = mark.find('/');
  const std::size_t second = first == std::string::npos ? first : mark.find('/', first + 1);
  if (second == std::string::npos || second != first + 2 || mark[first + 1] < '1' || mark[first + 1] > '4') {
    return Fail(EBADMSG, "its identity mark is damaged");
  }
  return Mark{mark.substr(0, first), mark[first + 1] - '0', mark.substr(second + 1)};
}

std::string KeyOf(int tier) { return "tier." + std::to_string(tier); }

// The result of reading the tier directories of a config: which exist and are marked.
struct Marks {
  std::array<bool, kTierCount> present{};
  std::array<bool, kTierCount> marked{};
  std::string id;  // the id of the marked ones
};

tl::unexpected<ConfigError> TierError(const Config& config, int tier, std::string message) {
  return tl::unexpected(ConfigError{config.file, config.LineOf(KeyOf(tier)), std::move(message)});
}

ConfigResult<Marks> Look(const Config& config, bool adopt) {
  Marks found;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const auto index = static_cast<std::size_t>(tier - 1);
    const std::string& path = config.tiers[index];
    std::error_code problem;
    if (!fs::exists(path, problem)) continue;
    found.present[index] = true;
    if (!fs::is_directory(path, problem)) return TierError(config, tier, path + " is not a directory");
    const auto mark = ReadMark(path);
    if (!mark) return TierError(config, tier, path + ": " + mark.error().step + ": " + std::strerror(mark.error().code));
    if (!*mark) {
      if (!adopt && !fs::is_empty(path, problem)) {
        return TierError(config, tier, path + " is not empty and not marked; `tierctl init --adopt " + config.file + "` takes it as it is");
      }
      continue;
    }
    if ((*mark)->name != config.name || (*mark)->tier != tier) {
      return TierError(config, tier,
                       path + " belongs to tier " + std::to_string((*mark)->tier) + " of '" + (*mark)->name +
                           "'; give this mount a directory of its own");
    }
    if (!found.id.empty() && found.id != (*mark)->id) {
      return TierError(config, tier, path + " has the identity mark of another set of tiers; is the right disk mounted?");
    }
    found.id = (*mark)->id;
    found.marked[index] = true;
  }
  return found;
}

}  // namespace

ConfigResult<std::vector<InitStep>> InitTiers(const Config& config, bool adopt, bool dry_run) {
  // Check everything before changing anything.
  if (auto apart = CheckApart(config, config.mountpoint); !apart) return tl::unexpected(apart.error());
  const auto found = Look(config, adopt);
  if (!found) return tl::unexpected(found.error());
  for (int tier = 1; tier <= kTierCount; ++tier) {
    if (found->id.empty() || adopt || found->marked[static_cast<std::size_t>(tier - 1)]) continue;
    return TierError(config, tier,
                     config.tiers[static_cast<std::size_t>(tier - 1)] +
                         " has no identity mark while other tiers have theirs; mount its disk, or, if it is new, "
                         "`tierctl init --adopt " +
                         config.file + "`");
  }
  const std::string id = found->id.empty() ? RandomId(4) : found->id;
  std::vector<InitStep> steps;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const auto index = static_cast<std::size_t>(tier - 1);
    const std::string& path = config.tiers[index];
    std::error_code problem;
    if (!found->present[index]) {
      steps.push_back({"make " + path});
      if (!dry_run) {
        fs::create_directories(path, problem);
        if (!problem) fs::permissions(path, fs::perms{0755}, problem);
        if (problem) return TierError(config, tier, "cannot make " + path + ": " + problem.message());
      }
    } else if (found->marked[index]) {
      continue;
    }
    steps.push_back({"mark " + path + " as tier " + std::to_string(tier) + " of '" + config.name + "'"});
    const std::string mark = config.name + "/" + std::to_string(tier) + "/" + id;
    if (!dry_run && ::setxattr(path.c_str(), MarkName(), mark.data(), mark.size(), 0) != 0) {
      return TierError(config, tier,
                       "cannot mark " + path + ": " + std::strerror(errno) + "; the file system must support extended attributes");
    }
  }
  std::error_code problem;
  if (!fs::exists(config.state, problem)) {
    steps.push_back({"make " + config.state});
    if (!dry_run) {
      fs::create_directories(config.state, problem);
      if (!problem) fs::permissions(config.state, fs::perms::owner_all, problem);
      if (problem) {
        return tl::unexpected(ConfigError{config.file, config.LineOf("state"), "cannot make " + config.state + ": " + problem.message()});
      }
    }
  }
  return steps;
}

std::string InitCommand(const Config& config) {
  const bool plain = InitTiers(config, false, true).has_value();
  return std::string("`tierctl init ") + (plain ? "" : "--adopt ") + config.file + "`";
}

ConfigResult<void> CheckIdentity(const Config& config) {
  std::string id;
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const std::string& path = config.tiers[static_cast<std::size_t>(tier - 1)];
    const auto error = [&](const std::string& message) {
      return TierError(config, tier, "tier " + std::to_string(tier) + ": " + path + " " + message);
    };
    const auto mark = ReadMark(path);
    if (!mark) return error(std::string(": ") + mark.error().step + ": " + std::strerror(mark.error().code));
    if (!*mark) return error("has no identity mark; is its disk mounted? If it is new, " + InitCommand(config) + " marks it");
    if ((*mark)->name != config.name || (*mark)->tier != tier) {
      return error("is marked as tier " + std::to_string((*mark)->tier) + " of '" + (*mark)->name +
                   "'; the config names the wrong directory");
    }
    if (!id.empty() && id != (*mark)->id) {
      return error("has the identity mark of another set of tiers; is the right disk mounted?");
    }
    id = (*mark)->id;
  }
  return {};
}

}  // namespace tierfs
