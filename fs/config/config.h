// The config file of a mount. Errors name the file and the line and say how to mend it.
#pragma once

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "policy/policy.h"
#include "policy/tier_id.h"

namespace tierfs {

// One line: FILE:LINE: what is wrong; the mend.
struct ConfigError {
  std::string file;
  std::size_t line = 0;  // 0: the file as a whole
  std::string message;

  [[nodiscard]] std::string Render() const;
};

template <typename T>
using ConfigResult = tl::expected<T, ConfigError>;

// As many as a mount can tell apart beside its tiers.
inline constexpr std::size_t kMaxLowerLayers = 60;

struct Config {
  std::string file;  // absolute
  std::string name;
  std::string mountpoint;          // where `tierfs CONFIG` and the unit mount it; may be empty
  std::string policy_file;         // absolute; empty when the rules are inline
  std::string rules;               // inline rules
  std::size_t rules_line = 0;      // where their first line stands in the file
  std::vector<std::string> lower;  // uppermost first
  bool over = false;               // the directory that is mounted over is the lowest layer
  std::string state;               // catalogue and work files
  std::array<std::string, kTierCount> tiers;
  std::vector<TierId> feed{TierId::kBuild, TierId::kData};  // the tiers whose changes are recorded
  std::chrono::milliseconds cache_timeout{std::chrono::seconds(60)};

  // The line of a key ("name", "tier.2"), for errors that show later; 0 when it is not in the file.
  [[nodiscard]] std::size_t LineOf(const std::string& key) const;
  std::map<std::string, std::size_t> lines;
};

// Reads and checks what can be known from the file alone. Relative paths are relative to the file's
// directory.
[[nodiscard]] ConfigResult<Config> LoadConfig(const std::string& path);

// No two of the directories that it names, and the mountpoint when one is given, are one or within
// each other, symlinks resolved. What is not there yet is taken as written.
[[nodiscard]] ConfigResult<void> CheckApart(const Config& config, const std::string& mountpoint);

// CheckApart, and that each is there. Touches nothing.
[[nodiscard]] ConfigResult<void> CheckPaths(const Config& config, const std::string& mountpoint);

// Reads and compiles the policy, includes resolved from the disk. All its errors.
[[nodiscard]] policy::ParseResult LoadPolicy(const Config& config);
// One line for the first error of a policy that has some, with the number of the others.
[[nodiscard]] std::string FirstErrorOf(const policy::ParseResult& policy);
[[nodiscard]] policy::ParseResult LoadPolicyFile(const std::string& path);

// The keys of a config and what they mean, for --help and the manual.
struct ConfigKey {
  const char* name;
  const char* value;
  const char* meaning;
};
[[nodiscard]] const std::vector<ConfigKey>& ConfigKeys();

}  // namespace tierfs
