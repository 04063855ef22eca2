// Output for eyes on a terminal.
#pragma once

#include <cstdint>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tierfs::tools {

// 1536 -> "1.5 KiB"
[[nodiscard]] std::string HumanSize(std::uint64_t bytes);

// Rows of cells in aligned columns; numbers to the right where `right` says so.
[[nodiscard]] std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right);

// What is not printable in a path is shown as '?', so that a file name cannot drive the terminal.
[[nodiscard]] std::string Printable(const std::string& path);

// JSON on one line per document, bytes that are not UTF-8 replaced.
void PrintJson(const nlohmann::json& document);

// A line on stderr that is overwritten, on a terminal only; none is left at the end.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void Show(std::uint64_t done);
  void Show(const std::string& text);

 private:
  const std::string what_;
  const bool terminal_;
  bool shown_ = false;
};

}  // namespace tierfs::tools
