// Parses any bytes as a policy. Either it is refused with errors that can be shown, or its rules
// can be written out and parsed again. Each byte 0x1C of an input starts a new file: first the
// policy, then the files `1`, `2` and so on that it may include.
#include <algorithm>
#include <charconv>
#include <vector>

#include "policy/lint.h"
#include "policy/policy.h"
#include "tests/fuzz/require.h"

namespace tierfs::policy {
namespace {

using tierfs::testing::Require;

std::vector<std::string_view> Files(std::string_view input) {
  std::vector<std::string_view> files;
  for (;;) {
    const std::size_t end = input.find('\x1C');
    files.push_back(input.substr(0, end));
    if (end == std::string_view::npos) return files;
    input.remove_prefix(end + 1);
  }
}

IncludeResolver ResolverOf(const std::vector<std::string_view>& files) {
  return [&files](std::string_view wanted, std::string_view) -> IncludeAnswer {
    std::size_t number = 0;
    std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
    if (number == 0 || number >= files.size()) return {std::nullopt, "expected the number of a file"};
    return {IncludedFile{std::to_string(number), std::string(files[number])}, ""};
  };
}

void CheckDiagnostic(const Diagnostic& diagnostic) {
  Require(diagnostic.source.line > 0 && diagnostic.source.column > 0, "a diagnostic has its place", diagnostic.message);
  Require(diagnostic.line.size() >= 1000 || diagnostic.source.column <= diagnostic.line.size() + 1, "a column is in its line",
          diagnostic.message);
  const std::string shown = diagnostic.Render();
  Require(std::none_of(shown.begin(), shown.end(), [](unsigned char c) { return (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F; }),
          "what is shown drives no terminal", diagnostic.message);
}

void CheckRule(const Rule& rule) {
  Require(!rule.components.empty() && !rule.components.back().any_depth, "a rule ends in a name", rule.pattern);
  Require(rule.pattern.size() <= kMaxPattern, "a pattern is bounded", rule.pattern);
  const ParsedRules again = ParseRules(std::to_string(NumberOf(rule.tier)) + " " + rule.pattern + "\r\n", "again", nullptr);
  Require(again.errors.empty() && again.rules.size() == 1, "a rule can be read again", rule.pattern);
  const Rule& same = again.rules[0];
  Require(
      same.tier == rule.tier && same.pattern == rule.pattern && same.directories_only == rule.directories_only &&
          std::equal(same.components.begin(), same.components.end(), rule.components.begin(), rule.components.end(),
                     [](const Component& a, const Component& b) { return a.any_depth == b.any_depth && a.glob.text() == b.glob.text(); }),
      "a rule that is read again is the same", rule.pattern);
}

void CheckPolicy(std::string_view input) {
  const std::vector<std::string_view> files = Files(input);
  const ParseResult parsed = Parse(files[0], "0", ResolverOf(files));
  Require((parsed.policy == nullptr) != parsed.errors.empty(), "there is a policy or an error");
  Require(parsed.errors.size() <= kMaxDiagnostics, "errors are bounded");
  for (const Diagnostic& error : parsed.errors) {
    CheckDiagnostic(error);
    Require(error.message.find("expected") != std::string::npos, "an error says what was expected", error.message);
  }
  if (!parsed.policy || parsed.policy->rules().size() > 1000) return;
  for (const Rule& rule : parsed.policy->rules()) CheckRule(rule);
  for (const Diagnostic& warning : Lint(parsed)) {
    CheckDiagnostic(warning);
    Require(!warning.code.empty(), "a warning has a code", warning.message);
  }
}

}  // namespace
}  // namespace tierfs::policy

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tierfs::policy::CheckPolicy({reinterpret_cast<const char*>(data), size});
  return 0;
}
