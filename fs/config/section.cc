#include "fs/config/section.h"

#include <charconv>
#include <utility>

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

}  // namespace

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

Section::Section(const toml::table& above, Config& config, std::string name, const std::vector<std::string_view>& keys)
    : config_(config), name_(std::move(name)), base_(fs::path(config.file).parent_path()) {
  const auto* node = above.get(name_);
  if (node == nullptr) return;
  config.lines[name_] = node->source().begin.line;
  Use(*node, keys, "[" + name_ + "]");
  if (table_ == nullptr) return;
  for (const auto& [key, each] : *table_) config.lines[name_ + "." + std::string(key.str())] = each.source().begin.line;
}

Section::Section(Config& config, std::string name, const toml::node& table, const std::vector<std::string_view>& keys)
    : config_(config), name_(std::move(name)), base_(fs::path(config.file).parent_path()) {
  Use(table, keys, "[[" + name_ + "]]");
}

void Section::Use(const toml::node& node, const std::vector<std::string_view>& keys, const std::string& form) {
  line_ = node.source().begin.line;
  if (!node.is_table()) return Problem("", "'" + name_ + "' has to be a table: " + form);
  table_ = node.as_table();
  for (const auto& [key, each] : *table_) {
    if (std::find(keys.begin(), keys.end(), key.str()) != keys.end()) continue;
    std::string known;
    for (const std::string_view other : keys) known += (known.empty() ? "" : ", ") + std::string(other);
    Problem(std::string(key.str()), "unknown key '" + name_ + "." + std::string(key.str()) + "'; known keys: " + known);
  }
}

void Section::Problem(const std::string& key, std::string message) {
  if (problem_) return;
  const toml::node* value = Find(key);
  const std::size_t line = value == nullptr ? 0 : value->source().begin.line;
  problem_ = ConfigError{config_.file, line != 0 ? line : line_, std::move(message)};
}

void Section::Text(const char* key, std::string& text) {
  const toml::node* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string() || value->as_string()->get().empty()) return Problem(key, Named(key) + " has to be a string in quotes");
  text = value->as_string()->get();
}

void Section::Path(const char* key, std::string& path) {
  Text(key, path);
  path = Absolute(path);
}

void Section::Flag(const char* key, bool& flag) {
  const toml::node* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Problem(key, Named(key) + " has to be true or false");
  flag = value->as_boolean()->get();
}

void Section::Time(const char* key, std::chrono::milliseconds& time) {
  std::string text;
  Text(key, text);
  if (text.empty()) return;
  const auto given = TimeOf(text);
  if (!given) return Problem(key, Named(key) + " has to be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\"");
  time = *given;
}

void Section::Size(const char* key, std::uint64_t& size) {
  std::string text;
  Text(key, text);
  if (text.empty()) return;
  const auto given = SizeOf(text);
  if (!given || *given == 0) return Problem(key, Named(key) + " has to be a size such as \"500K\", \"1M\" or \"2G\"");
  size = *given;
}

void Section::List(const char* key, std::vector<std::string>& list) {
  const toml::node* value = Find(key);
  if (value == nullptr) return;
  const std::string mend = Named(key) + " has to be a list of strings";
  if (!value->is_array()) return Problem(key, mend);
  list.clear();
  for (const auto& entry : *value->as_array()) {
    if (!entry.is_string() || entry.as_string()->get().empty()) return Problem(key, mend);
    list.push_back(entry.as_string()->get());
  }
}

const toml::array* Section::Tables(const char* key) {
  const toml::node* value = Find(key);
  if (value == nullptr) return nullptr;
  if (value->is_array()) return value->as_array();
  Problem(key, Named(key) + " has to be a list of tables, each under [[" + name_ + "." + key + "]]");
  return nullptr;
}

std::string Section::Absolute(const std::string& path) const { return path.empty() ? path : (base_ / path).lexically_normal().string(); }

}  // namespace tierfs
