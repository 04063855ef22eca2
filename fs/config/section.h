// Reads the keys of one table of a config, such as [version].
#pragma once

#include <toml++/toml.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/config/config.h"

namespace tierfs {

// "500ms", "2s", "5m", "1h", "1d", of a year at most; nothing if the text is no such time.
[[nodiscard]] std::optional<std::chrono::milliseconds> TimeOf(std::string_view text);
// "100", "500K", "1M", "2G", in bytes; nothing if the text is no such size.
[[nodiscard]] std::optional<std::uint64_t> SizeOf(std::string_view text);

// Each function reads one key, if it is there, and leaves the value alone otherwise. The first
// problem is kept, with the line of its key.
class Section {
 public:
  // The table that stands under `name` in the config. It may be absent.
  Section(const toml::table& above, Config& config, std::string name, const std::vector<std::string_view>& keys);
  // One of the tables [[name]].
  Section(Config& config, std::string name, const toml::node& table, const std::vector<std::string_view>& keys);

  [[nodiscard]] bool present() const { return table_ != nullptr; }
  [[nodiscard]] const std::optional<ConfigError>& problem() const { return problem_; }
  // Names the line of the key, or of the table if the key is not there.
  void Problem(const std::string& key, std::string message);

  void Text(const char* key, std::string& text);
  void Path(const char* key, std::string& path);
  void Flag(const char* key, bool& flag);
  void Time(const char* key, std::chrono::milliseconds& time);
  void Size(const char* key, std::uint64_t& size);
  // A list in the config replaces what `list` holds.
  void List(const char* key, std::vector<std::string>& list);
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
  // The tables [[name.key]] in their order; nothing if there are none.
  [[nodiscard]] const toml::array* Tables(const char* key);

  [[nodiscard]] std::string Absolute(const std::string& path) const;

 private:
  void Use(const toml::node& node, const std::vector<std::string_view>& keys, const std::string& form);
  [[nodiscard]] const toml::node* Find(const std::string& key) const { return table_ == nullptr ? nullptr : table_->get(key); }
  [[nodiscard]] std::string Named(const std::string& key) const { return "'" + name_ + "." + key + "'"; }

  Config& config_;
  const std::string name_;
  const std::filesystem::path base_;
  std::size_t line_ = 0;
  const toml::table* table_ = nullptr;
  std::optional<ConfigError> problem_;
};

}  // namespace tierfs
