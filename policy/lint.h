// Rules that are legal and yet probably not what was meant.
#pragma once

#include <vector>

#include "policy/diagnostic.h"
#include "policy/policy.h"

namespace tierfs::policy {

inline constexpr std::size_t kMaxWarnings = 1000;

// Warnings about a parsed policy, by file and line; with what the parser found suspicious. Their
// codes:
//
//   never-wins          a later rule covers it whatever the path (not said of a preset's rule that a rule outside it overrides)
//   duplicate           a later rule is the same (likewise)
//   tier1-cache         tier 1 for what is a cache by its name
//   tier3-etc           tier 3 for configuration
//   tier1-credential    tier 1, which may be published, for what holds secrets
//   trailing-space, trailing-backslash, comment-in-pattern
//   not-all-compared    there were too many rules to look for never-wins in all
//   more                kMaxWarnings are shown, and there are more
[[nodiscard]] std::vector<Diagnostic> Lint(const ParseResult& parsed);

// Whether `later` wins for every path that `earlier` matches.
[[nodiscard]] bool Covers(const Rule& later, const Rule& earlier);

}  // namespace tierfs::policy
