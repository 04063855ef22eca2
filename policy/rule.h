// A line of a policy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "policy/glob.h"
#include "policy/tier_id.h"

namespace tierfs::policy {

// The number of a rule: its place in the policy, counted over all included files. The last match
// wins, so a higher number wins.
struct RuleId {
  std::uint32_t value = 0xFFFFFFFF;
  bool operator==(const RuleId&) const = default;
};

// No rule matched.
inline constexpr RuleId kNoRule{};

struct Decision {
  TierId tier = TierId::kData;  // what no rule matches is user data: when in doubt, back it up
  RuleId rule = kNoRule;
  bool operator==(const Decision&) const = default;
};

// Where something stands in a policy.
struct Source {
  std::string file;
  std::size_t line = 0;    // from 1
  std::size_t column = 0;  // from 1, in bytes
};

// One step of a pattern: a component, or `**`, which stands for any number of components.
struct Component {
  bool any_depth = false;
  Glob glob;
};

struct Rule {
  TierId tier = TierId::kData;
  std::string pattern;  // as written, without trailing blanks
  std::string line;     // as written, for diagnostics; a very long one is cut
  Source source;        // of the pattern
  bool directories_only = false;
  // Without a leading any_depth the pattern is anchored at the root of the mount. The last
  // component is never any_depth: what a rule matches it covers to any depth, so a trailing `/**`
  // says the same as `/*`.
  std::vector<Component> components;

  // "acng.tiers:7: 3 /var/cache/"
  [[nodiscard]] std::string Describe() const {
    return source.file + ":" + std::to_string(source.line) + ": " + std::to_string(NumberOf(tier)) + " " + pattern;
  }
};

}  // namespace tierfs::policy
