// One rule against one path, without the automaton: what explains an answer, and what the automaton
// is tested against.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "policy/rule.h"

namespace tierfs::policy {

// The components of a path; empty ones are passed over.
[[nodiscard]] std::vector<std::string_view> ComponentsOf(std::string_view path);

// How many leading components of `path` the rule matches first: what it covers is everything at and
// beneath that place. `is_dir` tells of the whole path; all above it are directories. At most
// |rule| * |path| glob tries.
[[nodiscard]] std::optional<std::size_t> FirstMatch(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir);

// Whether the rule's components match the whole path, whatever they match above it.
[[nodiscard]] bool MatchesItself(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir);

}  // namespace tierfs::policy
