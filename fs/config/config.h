// The config file of a mount. Errors name the file and the line and say how to correct them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "policy/policy.h"
#include "policy/tier_id.h"

namespace tierfs {

// Rendered as one line: FILE:LINE: what is wrong; how to correct it.
struct ConfigError {
  std::string file;
  std::size_t line = 0;  // 0: the file as a whole
  std::string message;

  [[nodiscard]] std::string Render() const;
};

template <typename T>
using ConfigResult = tl::expected<T, ConfigError>;

// A mount can distinguish this many lower layers besides its tiers.
inline constexpr std::size_t kMaxLowerLayers = 60;

// [version]: tier 1 is kept in a git repository.
struct VersionConfig {
  // What a commit tells about its author.
  enum class Author : std::uint8_t { kLogin, kUid, kNone };

  std::string repo;        // absolute
  std::string remote;      // where to push; "" nowhere
  bool in_backup = false;  // the repository is part of some backup
  std::chrono::milliseconds push_every{std::chrono::minutes(5)};
  std::chrono::milliseconds settle{std::chrono::seconds(2)};
  std::chrono::milliseconds at_most{std::chrono::seconds(60)};
  Author author = Author::kLogin;
  std::vector<std::string> on_commit;  // a program and its arguments, run after each commit
};

// [gate]: what never gets into that repository.
struct GateConfig {
  enum class OnFinding : std::uint8_t { kMove, kHold, kOff };

  OnFinding on_finding = OnFinding::kMove;
  std::vector<std::string> rules;          // absolute; read after the built-in ones
  std::uint64_t max_file = 1 << 20;        // bytes
  std::uint64_t max_growth = 64ULL << 20;  // bytes of new content in a day
  std::string allow;                       // absolute; need not exist
};

// The promise of a snapshot; the greater one promises more.
enum class SnapshotLevel : std::uint8_t {
  kPerFile,  // "per-file": each file by itself
  kBarrier,  // "barrier": all files as of one instant
};

// [[snapshot.hook]]: a program that prepares an application for a snapshot.
struct SnapshotHook {
  // Before the snapshot, from before its instant until after it, or once it is made.
  enum class When : std::uint8_t { kPre, kHold, kPost };

  When when = When::kPre;
  std::vector<std::string> run;  // a program and its arguments
  std::string container;         // run in this container, by `docker exec`; "" on the host
  std::chrono::milliseconds timeout{std::chrono::seconds(30)};
  bool must_succeed = true;  // on_error = "fail"; "warn" lets the snapshot go on
};

// [snapshot]: read-only views of tier 1 and tier 2 as they were.
struct SnapshotConfig {
  std::string path;                         // absolute; tier1 and tier2 appear beneath it
  std::string store;                        // absolute; "" keeps copies on the tiers' own disks
  std::uint64_t store_limit = 10ULL << 30;  // bytes
  std::chrono::milliseconds barrier_limit{std::chrono::seconds(2)};
  SnapshotLevel at_least = SnapshotLevel::kBarrier;
  // Names, as fnmatch patterns, of mapped files that a copy may have torn.
  std::vector<std::string> may_be_mapped{"*-shm", "lock.mdb"};
  std::vector<SnapshotHook> hooks;  // in the order of the config
};

struct Config {
  std::string file;  // absolute
  std::string name;
  std::string mountpoint;          // where `tierfs CONFIG` and the unit mount it; may be empty
  std::string policy_file;         // absolute; empty when the rules are inline
  std::string rules;               // inline rules
  std::size_t rules_line = 0;      // the line of the file where they start
  std::vector<std::string> lower;  // uppermost first
  // The directory that is mounted over is the lowest layer.
  bool over = false;
  std::string state;  // directory of the catalogue and the work files
  std::array<std::string, kTierCount> tiers;
  // The tiers whose changes are recorded.
  std::vector<TierId> feed{TierId::kBuild, TierId::kData};
  std::chrono::milliseconds cache_timeout{std::chrono::seconds(60)};
  std::optional<VersionConfig> version;
  GateConfig gate;
  std::optional<SnapshotConfig> snapshot;

  // The file with the rules that the gate has made; read after all other rules.
  [[nodiscard]] std::string GateRules() const { return state + "/gate.tiers"; }

  // Returns the line of a key ("name", "tier.2"), for errors found later; 0 if it is not in the
  // file.
  [[nodiscard]] std::size_t LineOf(const std::string& key) const;
  std::map<std::string, std::size_t> lines;
};

// Reads the file and checks everything that the file alone can show. Relative paths are relative to
// the file's directory.
[[nodiscard]] ConfigResult<Config> LoadConfig(const std::string& path);

// Checks that no two directories of the config are the same or nested, and likewise the mountpoint
// if one is given. Only the store of the snapshots may be within the state. Symlinks are resolved.
// A path that does not exist yet is taken as written.
[[nodiscard]] ConfigResult<void> CheckApart(const Config& config, const std::string& mountpoint);

// Performs CheckApart and checks that each directory exists. Changes nothing.
[[nodiscard]] ConfigResult<void> CheckPaths(const Config& config, const std::string& mountpoint);

// Reads and compiles the policy, with includes read from the disk. Reports all errors. The rules of
// the gate (Config::GateRules) come last.
[[nodiscard]] policy::ParseResult LoadPolicy(const Config& config);
// The same for another policy file than the config's.
[[nodiscard]] policy::ParseResult LoadPolicy(const Config& config, const std::string& file);
// The rules of `policy` with the gate's rules as they are now instead of those that it holds.
[[nodiscard]] policy::ParseResult WithGateRules(const Config& config, const policy::Policy& policy);
// Returns one line with the first error of a policy and the number of further errors.
[[nodiscard]] std::string FirstErrorOf(const policy::ParseResult& policy);
[[nodiscard]] policy::ParseResult LoadPolicyFile(const std::string& path);

// The keys of a config and their meaning, for --help and the manual.
struct ConfigKey {
  const char* name;
  const char* value;
  const char* meaning;
};
[[nodiscard]] const std::vector<ConfigKey>& ConfigKeys();

}  // namespace tierfs
