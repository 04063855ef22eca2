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

// Finds an included file: (`wanted` as written, the name of the including file) -> its text, or a
// message that says why not. The library itself reads nothing.
struct IncludeAnswer {
  std::optional<IncludedFile> file;
  std::string problem;
};
using IncludeResolver = std::function<IncludeAnswer(std::string_view wanted, std::string_view from)>;

// Bounds, so that no policy, by accident or malice, takes the machine with it. Each is an error
// when it is passed.
inline constexpr std::size_t kMaxIncludeDepth = 16;
inline constexpr std::size_t kMaxIncludes = 1000;               // in all
inline constexpr std::size_t kMaxText = std::size_t{64} << 20;  // bytes, with all that is included
inline constexpr std::size_t kMaxRules = 100'000;
inline constexpr std::size_t kMaxPattern = 4096;      // bytes: PATH_MAX
inline constexpr std::size_t kMaxDiagnostics = 1000;  // of errors and of suspicious lines; the rest is counted only

// "1" to "4", "tier1" to "tier4", "build", "data", "state", "bulk".
[[nodiscard]] std::optional<TierId> TierNamed(std::string_view word);

struct ParsedRules {
  std::vector<Rule> rules;
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic> suspicious;  // what is legal but looks like a slip of the pen, seen while reading
};

[[nodiscard]] ParsedRules ParseRules(std::string_view text, const std::string& file, const IncludeResolver& resolver);

}  // namespace tierfs::policy
