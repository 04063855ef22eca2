#include "fs/config/history.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>

namespace tierfs {
namespace fs = std::filesystem;
namespace {

constexpr auto kLongest = std::chrono::hours(24 * 365);

// A number and the unit after it; nothing if there is no number.
struct Measure {
  double number;
  std::string_view unit;
};
std::optional<Measure> Split(std::string_view text) {
  Measure measure{};
  const auto [stop, problem] = std::from_chars(text.data(), text.data() + text.size(), measure.number, std::chars_format::fixed);
  if (problem != std::errc() || measure.number < 0) return std::nullopt;
  measure.unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  return measure;
}

std::optional<std::chrono::milliseconds> TimeOf(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}};
  const auto measure = Split(text);
  if (!measure) return std::nullopt;
  for (const auto& [unit, factor] : kUnits) {
    const double milliseconds = measure->number * factor;
    if (unit != measure->unit || milliseconds > static_cast<double>(std::chrono::milliseconds(kLongest).count())) continue;
    return std::chrono::milliseconds(static_cast<std::int64_t>(milliseconds));
  }
  return std::nullopt;
}

std::optional<std::uint64_t> SizeOf(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"", 1}, {"K", 0x1p10}, {"M", 0x1p20}, {"G", 0x1p30}};
  const auto measure = Split(text);
  if (!measure) return std::nullopt;
  for (const auto& [unit, factor] : kUnits) {
    if (unit == measure->unit && measure->number * factor < 0x1p50) return static_cast<std::uint64_t>(measure->number * factor);
  }
  return std::nullopt;
}

// Reads the keys of one table. The first problem is kept.
class Section {
 public:
  Section(const toml::table& table, Config& config, std::string name, std::vector<std::string_view> keys)
      : config_(config), name_(std::move(name)), base_(fs::path(config.file).parent_path()) {
    const auto* value = table.get(name_);
    if (value == nullptr) return;
    config.lines[name_] = value->source().begin.line;
    if (!value->is_table()) {
      Problem("", "'" + name_ + "' has to be a table: [" + name_ + "]");
      return;
    }
    table_ = value->as_table();
    for (const auto& [key, each] : *table_) {
      config.lines[name_ + "." + std::string(key.str())] = each.source().begin.line;
      if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
      std::string known;
      for (const std::string_view other : keys) known += (known.empty() ? "" : ", ") + std::string(other);
      Problem(std::string(key.str()), "unknown key '" + name_ + "." + std::string(key.str()) + "'; known keys: " + known);
    }
  }

  [[nodiscard]] bool present() const { return table_ != nullptr; }
  [[nodiscard]] const std::optional<ConfigError>& problem() const { return problem_; }
  void Problem(const std::string& key, std::string message) {
    if (problem_) return;
    const std::size_t line = config_.LineOf(name_ + "." + key);
    problem_ = ConfigError{config_.file, line != 0 ? line : config_.LineOf(name_), std::move(message)};
  }

  void Text(const char* key, std::string& text) {
    const toml::node* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_string() || value->as_string()->get().empty()) return Problem(key, Named(key) + " has to be a string in quotes");
    text = value->as_string()->get();
  }
  void Path(const char* key, std::string& path) {
    Text(key, path);
    path = Absolute(path);
  }
  void Flag(const char* key, bool& flag) {
    const toml::node* value = Find(key);
    if (value == nullptr) return;
    if (!value->is_boolean()) return Problem(key, Named(key) + " has to be true or false");
    flag = value->as_boolean()->get();
  }
  void Time(const char* key, std::chrono::milliseconds& time) {
    std::string text;
    Text(key, text);
    if (text.empty()) return;
    const auto given = TimeOf(text);
    if (!given) return Problem(key, Named(key) + " has to be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\"");
    time = *given;
  }
  void Size(const char* key, std::uint64_t& size) {
    std::string text;
    Text(key, text);
    if (text.empty()) return;
    const auto given = SizeOf(text);
    if (!given || *given == 0) return Problem(key, Named(key) + " has to be a size such as \"500K\", \"1M\" or \"2G\"");
    size = *given;
  }
  void List(const char* key, std::vector<std::string>& list) {
    const toml::node* value = Find(key);
    if (value == nullptr) return;
    const std::string mend = Named(key) + " has to be a list of strings";
    if (!value->is_array()) return Problem(key, mend);
    for (const auto& entry : *value->as_array()) {
      if (!entry.is_string() || entry.as_string()->get().empty()) return Problem(key, mend);
      list.push_back(entry.as_string()->get());
    }
  }
  // One of several words. `take` gets the position of the word.
  template <typename Take>
  void Word(const char* key, const std::vector<std::string_view>& words, Take take) {
    std::string text;
    Text(key, text);
    if (text.empty()) return;
    const auto found = std::find(words.begin(), words.end(), text);
    if (found != words.end()) return take(static_cast<std::size_t>(found - words.begin()));
    std::string known;
    for (const std::string_view word : words) known += (known.empty() ? "" : ", ") + ("\"" + std::string(word) + "\"");
    Problem(key, Named(key) + " has to be one of " + known);
  }

  [[nodiscard]] std::string Absolute(const std::string& path) const {
    return path.empty() ? path : (base_ / path).lexically_normal().string();
  }

 private:
  [[nodiscard]] const toml::node* Find(const char* key) const { return table_ == nullptr ? nullptr : table_->get(key); }
  [[nodiscard]] std::string Named(const char* key) const { return "'" + name_ + "." + key + "'"; }

  Config& config_;
  const std::string name_;
  const fs::path base_;
  const toml::table* table_ = nullptr;
  std::optional<ConfigError> problem_;
};

void ReadVersion(Section& section, Config& config) {
  if (!section.present()) return;
  VersionConfig version;
  section.Path("repo", version.repo);
  section.Text("remote", version.remote);
  section.Flag("in_backup", version.in_backup);
  section.Time("push_every", version.push_every);
  section.Time("settle", version.settle);
  section.Time("at_most", version.at_most);
  section.Word("author", {"login", "uid", "none"}, [&](std::size_t at) { version.author = static_cast<VersionConfig::Author>(at); });
  section.List("on_commit", version.on_commit);
  if (version.repo.empty()) section.Problem("repo", "no repository; add: repo = \"/srv/" + config.name + "/tier1.git\"");
  if (version.remote.starts_with("-")) section.Problem("remote", "'version.remote' may not begin with a dash");
  if (version.at_most < version.settle) section.Problem("at_most", "'version.at_most' has to be at least 'version.settle'");
  if (std::find(config.feed.begin(), config.feed.end(), TierId::kBuild) == config.feed.end())
    section.Problem("repo", "the history of tier 1 needs its changes recorded: put 1 into 'feed'");
  config.version = std::move(version);
}

void ReadGate(Section& section, Config& config) {
  GateConfig& gate = config.gate;
  section.Word("on_finding", {"move", "hold", "off"}, [&](std::size_t at) { gate.on_finding = static_cast<GateConfig::OnFinding>(at); });
  section.List("rules", gate.rules);
  for (std::string& file : gate.rules) file = section.Absolute(file);
  section.Size("max_file", gate.max_file);
  section.Size("max_growth", gate.max_growth);
  gate.allow = config.name + ".allow";
  section.Path("allow", gate.allow);
}

}  // namespace

ConfigResult<void> ReadHistory(const toml::table& table, Config& config) {
  Section version(table, config, "version", {"repo", "remote", "push_every", "in_backup", "settle", "at_most", "author", "on_commit"});
  ReadVersion(version, config);
  if (version.problem()) return tl::unexpected(*version.problem());
  Section gate(table, config, "gate", {"on_finding", "rules", "allow", "max_file", "max_growth"});
  ReadGate(gate, config);
  if (gate.problem()) return tl::unexpected(*gate.problem());
  return {};
}

}  // namespace tierfs
