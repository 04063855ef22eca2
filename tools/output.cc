#include "tools/output.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <cstring>

namespace tierfs::tools {

std::string HumanSize(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string Table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string pad(widths[i] - row[i].size(), ' ');
      line += (i == 0 ? "" : "  ") + (right[i] ? pad + row[i] : row[i] + pad);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string Printable(const std::string& path) {
  std::string text = path;
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) c = '?';
  }
  return text;
}

std::string ShellQuoted(const std::string& path) {
  const auto all = [&path](auto is) { return std::all_of(path.begin(), path.end(), is); };
  const bool plain = all([](unsigned char c) { return std::isalnum(c) != 0 || c >= 0x80 || std::strchr("/._-+,:@%=", c) != nullptr; });
  const bool printable = all([](unsigned char c) { return c >= 0x20 && c != 0x7F; });
  // A word that begins with a hyphen would be an option.
  std::string text = path.starts_with('-') ? "./" : "";
  if (plain && !path.empty()) return text + path;
  text += printable ? "'" : "$'";
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    static constexpr char kOctal[] = "01234567";
    if (printable) {
      text += c == '\'' ? "'\\''" : std::string(1, c);
    } else if (byte < 0x20 || byte == 0x7F || c == '\'' || c == '\\') {
      text += {'\\', kOctal[byte >> 6], kOctal[(byte >> 3) & 7], kOctal[byte & 7]};
    } else {
      text += c;
    }
  }
  return text + "'";
}

void PrintJson(const nlohmann::json& document) {
  std::cout << document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
}

Progress::Progress(std::string what) : what_(std::move(what)), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { Erase(); }

void Progress::Erase() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

void Progress::Show(std::uint64_t done) { Show(std::to_string(done)); }

void Progress::Show(const std::string& text) {
  if (!terminal_) return;
  shown_ = true;
  std::fprintf(stderr, "\r%s %s\033[K", what_.c_str(), text.c_str());
}

}  // namespace tierfs::tools
