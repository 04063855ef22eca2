#include "fs/jobs/gate/path_pattern.h"

#include <string_view>

#include "fs/os/paths.h"
#include "policy/parse.h"

namespace tierfs::gate {
namespace {

constexpr std::string_view kSpecial = "*?[\\";

std::string Escaped(const std::string& path, bool exactly) {
  // Spaces at the end would be taken off (policy/parse.cc).
  const std::size_t blanks = path.find_last_not_of(' ') + 1;
  std::string pattern = "/";
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    const bool last = i + 1 == path.size();
    if (c == '\n' || (c == '\r' && last)) {
      pattern += '?';
    } else if (kSpecial.find(c) != std::string_view::npos || i >= blanks) {
      pattern += exactly ? std::string{'\\', c} : "?";
    } else {
      pattern += c;
    }
  }
  return pattern;
}

}  // namespace

std::optional<std::string> PatternFor(const std::string& path) {
  std::string pattern = Escaped(path, true);
  if (pattern.size() > policy::kMaxPattern) pattern = Escaped(path, false);
  if (pattern.size() > policy::kMaxPattern) return std::nullopt;
  return pattern;
}

std::string PatternOf(const std::string& path) {
  const auto pattern = PatternFor(path);
  return pattern ? *pattern : PatternOf(ParentOf(path));
}

std::string PathOf(const std::string& pattern) {
  std::string path;
  for (std::size_t i = pattern.starts_with('/') ? 1 : 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    path += pattern[i];
  }
  return path;
}

}  // namespace tierfs::gate
