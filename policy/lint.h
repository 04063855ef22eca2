// Finds rules that are legal but probably a mistake.
#pragma once

#include <vector>

#include "policy/diagnostic.h"
#include "policy/policy.h"

namespace tierfs::policy {

inline constexpr std::size_t kMaxWarnings = 1000;

// Returns warnings about a parsed policy, by file and line, including those that the parser found.
// Their codes:
//
//   never-wins          a later rule covers this one for every path
//   duplicate           a later rule is the same
//   tier1-cache         tier 1 for a cache, judged by its name
//   tier3-etc           tier 3 for configuration
//   tier1-credential    tier 1, which may be published, for secrets
//   trailing-space, trailing-backslash, comment-in-pattern
//   not-all-compared    there were too many rules to compare all of them for never-wins
//   more                only kMaxWarnings are shown, and there are more
//
// never-wins and duplicate are not reported for a preset's rule that a rule outside the preset
// overrides.
[[nodiscard]] std::vector<Diagnostic> Lint(const ParseResult& parsed);

// Whether `later` wins for every path that `earlier` matches.
[[nodiscard]] bool Covers(const Rule& later, const Rule& earlier);

}  // namespace tierfs::policy
