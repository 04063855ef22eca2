// The text of a policy -> rules, or every error in it.
//
//   # comment
//   TIER PATTERN        TIER is 1 to 4, tier1 to tier4, or build, data, state, bulk; PATTERN is gitignore's, without `!`
//   include FILE        relative to the including file
//   include <PRESET>    one of the rule sets that come with the program
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/diagnostic.h"
#include "policy/rule.h"

namespace tierfs::policy {

struct IncludedFile {
  std::string name;  // how diagnostics call it, and how includes within it are resolved
  std::string text;
};

// Finds an included file: (`wanted` as written, the name of the including file) -> its text, or a message that says why not. The library
// itself reads nothing.
struct IncludeAnswer {
  std::optional<IncludedFile> file;
  std::string problem;
};
using IncludeResolver = std::function<IncludeAnswer(std::string_view wanted, std::string_view from)>;

inline constexpr int kMaxIncludeDepth = 16;
inline constexpr std::size_t kMaxRules = 1'000'000;

struct ParsedRules {
  std::vector<Rule> rules;
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> suspicious;  // what is legal but looks like a slip of the pen, seen while reading
};

[[nodiscard]] ParsedRules ParseRules(std::string_view text, const std::string& file, const IncludeResolver& resolver);

}  // namespace tierfs::policy
