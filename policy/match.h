// Matches one rule against one path without the automaton. It explains answers, and the tests
// compare the automaton with it.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/rule.h"

namespace tierfs::policy {

// Splits a path into its components; skips empty ones.
[[nodiscard]] std::vector<std::string_view> ComponentsOf(std::string_view path);

// Returns the smallest number of leading components of `path` that the rule matches. The rule
// covers everything at and beneath that place. `is_dir` describes the whole path; every ancestor is
// a directory. Takes at most |rule| * |path| glob tries.
[[nodiscard]] std::optional<std::size_t> FirstMatch(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir);

// Whether the rule's components match the whole path, even if they also match an ancestor.
[[nodiscard]] bool MatchesItself(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir);

}  // namespace tierfs::policy
