#include "fs/config/config.h"

#include <unistd.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

#include "fs/config/history.h"
#include "fs/config/snapshot.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

// The number of single-letter edits that turn one word into the other.
std::size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t corner = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, corner + (a[i - 1] == b[j - 1] ? 0 : 1)});
      corner = above;
    }
  }
  return row[b.size()];
}

std::string Suggestion(std::string_view unknown) {
  const ConfigKey* nearest = nullptr;
  std::size_t least = 3;
  for (const ConfigKey& key : ConfigKeys()) {
    const std::size_t distance = Distance(unknown, key.name);
    if (distance < least) {
      least = distance;
      nearest = &key;
    }
  }
  if (nearest != nullptr) return std::string("; did you mean '") + nearest->name + "'?";
  std::string known;
  for (const ConfigKey& key : ConfigKeys()) known += (known.empty() ? "" : ", ") + std::string(key.name);
  return "; known keys: " + known;
}

class Reader {
 public:
  Reader(const toml::table& table, Config& config) : table_(table), config_(config), base_(fs::path(config.file).parent_path()) {}

  ConfigResult<void> Read() {
    for (const auto& [key, value] : table_) config_.lines[std::string(key.str())] = value.source().begin.line;
    for (const auto& [key, value] : table_) {
      const std::string name(key.str());
      const bool known = name == "tier" || name == "version" || name == "gate" || name == "snapshot" ||
                         std::any_of(ConfigKeys().begin(), ConfigKeys().end(), [&](const ConfigKey& each) { return name == each.name; });
      if (!known) return Error(name, "unknown key '" + name + "'" + Suggestion(name));
    }
    config_.name = Text("name");
    config_.state = Path("state");
    config_.mountpoint = Path("mountpoint");
    config_.policy_file = Path("policy");
    config_.rules = Text("rules");
    if (const auto* value = table_.get("rules")) {
      // TOML drops a newline directly after the opening quotes, so count the lines from the end.
      const auto lines = std::count(config_.rules.begin(), config_.rules.end(), '\n');
      config_.rules_line = value->source().end.line - static_cast<std::size_t>(lines);
    }
    Lower();
    if (const auto* value = table_.get("over")) {
      if (!value->is_boolean()) return Error("over", "'over' has to be true or false");
      config_.over = config_.over || value->as_boolean()->get();
    }
    if (const auto* value = table_.get("cache_timeout")) {
      const auto seconds = value->value<double>();
      if (!seconds || *seconds < 0 || *seconds > 1e6) return Error("cache_timeout", "'cache_timeout' has to be seconds, 0 to 1000000");
      config_.cache_timeout = std::chrono::milliseconds(static_cast<std::int64_t>(*seconds * 1000));
    }
    if (config_.lower.size() + (config_.over ? 1 : 0) > kMaxLowerLayers) {
      return Error("lower", "more than " + std::to_string(kMaxLowerLayers) + " lower layers; merge some of them");
    }
    Feed();
    Tiers();
    if (auto history = ReadHistory(table_, config_); !problem_ && !history) problem_ = history.error();
    if (auto snapshot = ReadSnapshot(table_, config_); !problem_ && !snapshot) problem_ = snapshot.error();
    if (problem_) return tl::unexpected(*problem_);
    if (config_.name.empty()) return Error("name", "no name; add: name = \"myservice\"");
    if (config_.name.find('/') != std::string::npos || config_.name[0] == '.') {
      return Error("name", "the name '" + config_.name + "' may not hold a slash or start with a dot");
    }
    if (config_.state.empty()) return Error("state", "no state directory; add: state = \"/var/lib/tierfs/" + config_.name + "\"");
    if (config_.policy_file.empty() == config_.rules.empty()) {
      return Error(config_.rules.empty() ? "name" : "rules", "exactly one of 'policy' (a file) and 'rules' (inline) is needed");
    }
    return {};
  }

 private:
  tl::unexpected<ConfigError> Error(const std::string& key, std::string message) const {
    return tl::unexpected(ConfigError{config_.file, config_.LineOf(key), std::move(message)});
  }
  void Problem(const std::string& key, std::string message) {
    if (!problem_) problem_ = ConfigError{config_.file, config_.LineOf(key), std::move(message)};
  }

  std::string Text(const char* key) {
    const auto* value = table_.get(key);
    if (value == nullptr) return "";
    if (!value->is_string()) {
      Problem(key, std::string("'") + key + "' has to be a string in quotes");
      return "";
    }
    return value->as_string()->get();
  }

  std::string Absolute(const std::string& path) const { return path.empty() ? path : (base_ / path).lexically_normal().string(); }

  std::string Path(const char* key) { return Absolute(Text(key)); }

  void Lower() {
    const auto* value = table_.get("lower");
    if (value == nullptr) return;
    const auto take = [&](const std::string& path) {
      if (config_.over) return Problem("lower", "\"over\" is the lowest layer: it has to come last");
      if (path.empty()) return Problem("lower", "an empty name among the lower layers");
      if (path == "over") {
        config_.over = true;
      } else {
        config_.lower.push_back(Absolute(path));
      }
    };
    if (value->is_string()) return take(value->as_string()->get());
    if (!value->is_array()) return Problem("lower", "'lower' has to be a list of directories, uppermost first");
    for (const auto& entry : *value->as_array()) {
      if (!entry.is_string()) return Problem("lower", "'lower' has to be a list of directories, uppermost first");
      take(entry.as_string()->get());
    }
  }

  void Feed() {
    const auto* value = table_.get("feed");
    if (value == nullptr) return;
    const std::string mend = "'feed' has to be a list of the tiers whose changes are recorded, out of 1, 2 and 3";
    if (!value->is_array()) return Problem("feed", mend);
    config_.feed.clear();
    for (const auto& entry : *value->as_array()) {
      const auto number = entry.value_exact<std::int64_t>();
      if (!number || *number < 1 || *number > 3) return Problem("feed", mend);
      config_.feed.push_back(static_cast<TierId>(*number));
    }
  }

  void Tiers() {
    const auto* tier = table_.get("tier");
    if (tier == nullptr || !tier->is_table()) return Problem("tier", "no [tier] table; add it, with a directory for each of 1 to 4");
    for (const auto& [key, value] : *tier->as_table()) {
      const std::string name = "tier." + std::string(key.str());
      config_.lines[name] = value.source().begin.line;
      const std::string_view number = key.str();
      if (number.size() != 1 || number[0] < '1' || number[0] > '4') {
        return Problem(name, "unknown tier '" + std::string(number) + "'; there are 1 to 4");
      }
      if (!value.is_string() || value.as_string()->get().empty())
        return Problem(name, "tier " + std::string(number) + " has to be a directory in quotes");
      config_.tiers[static_cast<std::size_t>(number[0] - '1')] = Absolute(value.as_string()->get());
    }
    for (int number = 1; number <= kTierCount; ++number) {
      if (config_.tiers[static_cast<std::size_t>(number - 1)].empty()) {
        return Problem("tier", "tier " + std::to_string(number) + " is missing; add: " + std::to_string(number) + " = \"/path\"");
      }
    }
  }

  const toml::table& table_;
  Config& config_;
  const fs::path base_;
  std::optional<ConfigError> problem_;
};

}  // namespace

std::string ConfigError::Render() const { return file + (line == 0 ? "" : ":" + std::to_string(line)) + ": " + message; }

std::size_t Config::LineOf(const std::string& key) const {
  const auto found = lines.find(key);
  return found == lines.end() ? 0 : found->second;
}

const std::vector<ConfigKey>& ConfigKeys() {
  static const std::vector<ConfigKey> keys = {
      {"name", "TEXT", "the mount's name, as tierctl and the identity marks know it"},
      {"policy", "FILE", "the policy; or give the rules inline"},
      {"rules", "TEXT", "the rules themselves, instead of a policy file"},
      {"state", "DIR", "the daemon's lock, control socket and catalogue; all but interrupted operations can be rebuilt"},
      {"mountpoint", "DIR", "where `tierfs CONFIG` mounts when the command line names no mountpoint"},
      {"lower", "[DIR, ...]", "read-only layers underneath, uppermost first; \"over\" is the directory that is mounted over"},
      {"over", "true|false", "the same as \"over\" at the end of lower"},
      {"cache_timeout", "SECONDS", "changes made directly in the trees are seen within this time (60)"},
      {"feed", "[TIER, ...]", "the tiers whose changes are recorded for `tierctl changes` ([1, 2])"},
      {"version.repo", "DIR", "the bare git repository that keeps every change of tier 1; `tierctl init` makes it"},
      {"version.remote", "URL", "where commits are pushed to"},
      {"version.push_every", "TIME", "how long commits wait for a push (\"5m\")"},
      {"version.in_backup", "true|false", "the repository is part of a backup, so that no remote is needed (false)"},
      {"version.settle", "TIME", "a file is committed when it was left alone for this time (\"2s\")"},
      {"version.at_most", "TIME", "a file that is written all the time is committed this often (\"60s\")"},
      {"version.author", "login|uid|none", "what a commit tells about its author; \"none\" for a public repository (\"login\")"},
      {"version.on_commit", "[PROGRAM, ...]", "is run after each commit"},
      {"gate.on_finding", "move|hold|off", "what becomes of a file with a credential: tier 2, not committed, or committed (\"move\")"},
      {"gate.rules", "[FILE, ...]", "more rules for credentials, in the form of gitleaks"},
      {"gate.allow", "FILE", "what the gate lets pass (NAME.allow beside this file)"},
      {"gate.max_file", "SIZE", "a larger file is not committed (\"1M\")"},
      {"gate.max_growth", "SIZE", "no more new content than this is committed in a day (\"64M\")"},
      {"snapshot.path", "DIR", "where snapshots appear: tier1 and tier2 beneath it"},
      {"snapshot.store", "DIR", "where a snapshot keeps its copies (on the tiers' own disks)"},
      {"snapshot.store_limit", "SIZE", "a snapshot whose copies need more is dropped; no write fails (\"10G\")"},
      {"snapshot.barrier_limit", "TIME", "writers are held up for this time at most (\"2s\")"},
      {"snapshot.at_least", "barrier|per-file", "a snapshot that promises less is a failure (\"barrier\")"},
      {"snapshot.may_be_mapped", "[NAME, ...]", "mapped files that a copy may have torn ([\"*-shm\", \"lock.mdb\"])"},
      {"snapshot.hook.when", "pre|hold|post", "when the program runs; hold: it prints READY, and ends when its input closes (\"pre\")"},
      {"snapshot.hook.run", "[PROGRAM, ...]", "prepares an application for a snapshot"},
      {"snapshot.hook.container", "NAME", "run it in this container, by docker exec"},
      {"snapshot.hook.timeout", "TIME", "the program is ended after this time (\"30s\")"},
      {"snapshot.hook.on_error", "fail|warn", "whether a failed program prevents the snapshot (\"fail\")"},
      {"tier.1", "DIR", "the tree of tier 1, build"},
      {"tier.2", "DIR", "the tree of tier 2, data"},
      {"tier.3", "DIR", "the tree of tier 3, state"},
      {"tier.4", "DIR", "the tree of tier 4, bulk"},
  };
  return keys;
}

ConfigResult<Config> LoadConfig(const std::string& path) {
  Config config;
  std::error_code error;
  config.file = fs::absolute(path, error).lexically_normal().string();
  if (::access(config.file.c_str(), R_OK) != 0) {
    return tl::unexpected(ConfigError{path, 0, std::string("cannot read the config: ") + std::strerror(errno)});
  }
  if (fs::is_directory(config.file, error)) return tl::unexpected(ConfigError{path, 0, "is a directory, not a config"});
  toml::table table;
  try {
    table = toml::parse_file(config.file);
  } catch (const toml::parse_error& problem) {
    return tl::unexpected(ConfigError{config.file, problem.source().begin.line, std::string(problem.description())});
  }
  if (auto read = Reader(table, config).Read(); !read) {
    // A missing key has no line. Name the first line, where a reader starts.
    if (read.error().line == 0) read.error().line = 1;
    return tl::unexpected(read.error());
  }
  return config;
}

}  // namespace tierfs
