#include "tools/expectations.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "policy/parse.h"

namespace tierfs::tools {
namespace fs = std::filesystem;
namespace {

std::string_view Trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

Expectations ReadExpectations(const std::string& file) {
  Expectations expectations;
  std::size_t number = 0;
  std::string line;
  const auto error = [&](std::size_t column, const std::string& message) {
    expectations.errors.push_back(policy::Diagnostic{policy::Source{file, number, column}, line, message, ""});
  };
  std::error_code problem;
  const bool directory = fs::is_directory(file, problem);
  errno = 0;
  std::ifstream input(file, std::ios::binary);
  if (directory || !input) {
    error(0, std::string("cannot read the expectations: ") + std::strerror(directory ? EISDIR : errno != 0 ? errno : EIO));
    return expectations;
  }
  while (std::getline(input, line)) {
    ++number;
    const std::string_view text = Trimmed(line);
    if (text.empty() || text[0] == '#') continue;
    const std::size_t arrow = line.rfind("->");
    if (arrow == std::string::npos && text.starts_with("policy ")) {
      const std::string_view named = Trimmed(text.substr(7));
      if (!expectations.policy_file.empty()) {
        error(1, "a second policy: expected one for the whole file");
      } else {
        expectations.policy_file = (fs::path(file).parent_path() / named).lexically_normal().string();
      }
      continue;
    }
    if (arrow == std::string::npos) {
      error(1, "expected 'PATH -> TIER' or 'policy FILE'");
      continue;
    }
    const std::string_view path = Trimmed(std::string_view(line).substr(0, arrow));
    const std::string_view word = Trimmed(std::string_view(line).substr(arrow + 2));
    const auto tier = policy::TierNamed(word);
    if (path.empty()) {
      error(1, "no path: expected 'PATH -> TIER'");
    } else if (!tier) {
      error(arrow + 3, "'" + std::string(word) + "' is not a tier: expected 1 to 4 (or build, data, state, bulk)");
    } else {
      expectations.lines.push_back({number, std::string(path), path.back() == '/', *tier});
    }
  }
  return expectations;
}

}  // namespace tierfs::tools
