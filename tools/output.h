// Output for a reader at a terminal.
#pragma once

#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tierfs::tools {

// Turns 1536 into "1.5 KiB".
[[nodiscard]] std::string HumanSize(std::uint64_t bytes);

// Returns rows of cells in aligned columns. Columns marked in `right` are aligned to the right.
[[nodiscard]] std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right);

// Replaces unprintable characters with '?', so that a file name cannot control the terminal.
[[nodiscard]] std::string Printable(const std::string& path);

// Returns the path as one word of a shell's command line, in printable characters.
[[nodiscard]] std::string ShellQuoted(const std::string& path);

// Prints one document on one line. Bytes that are not UTF-8 are replaced.
void PrintJson(const nlohmann::json& document);

// Owns a status line on stderr, shown on a terminal only. It is overwritten by each update and
// erased at the end.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void Show(std::uint64_t done);
  void Show(const std::string& text);
  void Erase();

 private:
  const std::string what_;
  const bool terminal_;
  bool shown_ = false;
};

}  // namespace tierfs::tools
