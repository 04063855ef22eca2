// Compiles any bytes as a file of rules and scans any bytes with it and with the built-in rules. An
// input is the rules, the byte 0x1C, a path, the byte 0x1C, then the content.
#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>

#include "policy/secrets/scanner.h"
#include "tests/fuzz/require.h"

namespace tierfs::secrets {
namespace {

using tierfs::testing::Require;

std::string_view Next(std::string_view& input) {
  const std::string_view part = input.substr(0, input.find('\x1C'));
  input.remove_prefix(std::min(input.size(), part.size() + 1));
  return part;
}

bool Shown(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; });
}

void CheckFindings(const std::vector<Finding>& findings, std::string_view content) {
  Require(findings.size() <= kMaxFindings, "findings are bounded");
  const std::size_t lines = 1 + static_cast<std::size_t>(std::count(content.begin(), content.end(), '\n'));
  std::set<std::pair<std::size_t, std::string>> seen;
  std::size_t last = 0;
  for (const Finding& finding : findings) {
    Require(finding.line >= last && finding.line <= lines, "lines ascend and exist", finding.rule);
    Require(seen.emplace(finding.line, finding.rule).second, "a rule is named once a line", finding.rule);
    Require(!finding.rule.empty() && Shown(finding.rule) && Shown(finding.description), "what is shown drives no terminal", finding.rule);
    last = finding.line;
  }
}

void CheckRulesAndContent(std::string_view input) {
  static const auto kBuiltin = Compile({});
  Require(kBuiltin.has_value(), "the built-in rules compile");
  const std::string_view text = Next(input);
  const std::string_view path = Next(input);
  CheckFindings(Scan(**kBuiltin, path, input), input);
  const auto rules = Compile({{"my.toml", std::string(text)}}, false);
  if (rules) {
    CheckFindings(Scan(**rules, path, input), input);
  } else {
    Require(rules.error().starts_with("my.toml:") && Shown(rules.error()), "an error is one line with its place", rules.error());
  }
}

}  // namespace
}  // namespace tierfs::secrets

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tierfs::secrets::CheckRulesAndContent({reinterpret_cast<const char*>(data), size});
  return 0;
}
