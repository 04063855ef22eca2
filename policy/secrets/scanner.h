// Finds credentials in the content of a file. The library is pure: bytes in, findings out, no I/O.
// The rules have gitleaks' TOML form; README.md lists the differences.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace tierfs::secrets {

inline constexpr std::size_t kMaxFindings = 100;                // of one scan
inline constexpr std::size_t kMaxRules = 10'000;                // of all files together
inline constexpr std::size_t kMaxText = std::size_t{16} << 20;  // bytes of one rule file

// One credential found. It never holds the credential itself.
struct Finding {
  std::string rule;
  std::string description;
  std::size_t line = 0;  // from 1; 0: the path or the file as a whole
};

// Compiled rules. They are immutable, and threads may share them.
class Rules;

// A file of rules. The library reads no file, so the caller gives the text. `name` is for errors.
struct RuleFile {
  std::string name;
  std::string text;
};

// Compiles the given files after the built-in ones. A rule with the id of a rule of an earlier file
// replaces it. The error is one line: FILE:LINE: what is wrong.
[[nodiscard]] tl::expected<std::shared_ptr<const Rules>, std::string> Compile(const std::vector<RuleFile>& files, bool builtin = true);

// Returns the findings in the order of their lines, each rule at most once a line, at most
// kMaxFindings. A rule for which `skip` is true finds nothing, so that it hides no finding of
// another. `path` is relative to the mount. Time and memory are linear in the content, whatever its
// bytes are.
using Skip = std::function<bool(const std::string& rule)>;
[[nodiscard]] std::vector<Finding> Scan(const Rules& rules, std::string_view path, std::string_view content, const Skip& skip = {});

// Whether it is no text: a control character anywhere, other than white space, backspace and
// escape, or more than a quarter of bytes that are not UTF-8. Text in Latin-1 has fewer.
[[nodiscard]] bool IsBinary(std::string_view content);

// The TOML text of the built-in rules.
[[nodiscard]] std::string_view BuiltinRules();

}  // namespace tierfs::secrets
