// Parses the text of a policy into rules, or reports every error in it.
//
//   # comment
//   TIER PATTERN        TIER: 1 to 4, tier1 to tier4, or build, data, state, bulk
//                       PATTERN: as in gitignore, without `!`
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
  // Its name in diagnostics, from which includes within it are resolved.
  std::string name;
  std::string text;
};

// Finds an included file. The arguments are the file as written and the name of the including file;
// the answer is its text, or a message that says why it cannot be included. The library itself
// reads no file.
struct IncludeAnswer {
  std::optional<IncludedFile> file;
  std::string problem;
};
using IncludeResolver = std::function<IncludeAnswer(std::string_view wanted, std::string_view from)>;

// Limits that keep a policy, faulty or malicious, from exhausting the machine. Exceeding one is an
// error.
inline constexpr std::size_t kMaxIncludeDepth = 16;
inline constexpr std::size_t kMaxIncludes = 1000;               // in one policy
inline constexpr std::size_t kMaxText = std::size_t{64} << 20;  // bytes, including included files
inline constexpr std::size_t kMaxRules = 100'000;
inline constexpr std::size_t kMaxPattern = 4096;  // bytes: PATH_MAX
// Of errors and of suspicious lines; further ones are only counted.
inline constexpr std::size_t kMaxDiagnostics = 1000;

// Accepts "1" to "4", "tier1" to "tier4", "build", "data", "state" and "bulk".
[[nodiscard]] std::optional<TierId> TierNamed(std::string_view word);

struct ParsedRules {
  std::vector<Rule> rules;
  std::vector<Diagnostic> errors;
  // Legal lines that look like mistakes, found while parsing.
  std::vector<Diagnostic> suspicious;
};

[[nodiscard]] ParsedRules ParseRules(std::string_view text, const std::string& file, const IncludeResolver& resolver);

}  // namespace tierfs::policy
