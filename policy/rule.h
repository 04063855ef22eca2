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

// The value if no rule matched.
inline constexpr RuleId kNoRule{};

struct Decision {
  // The tier if no rule matches: when in doubt, back the file up.
  TierId tier = TierId::kData;
  RuleId rule = kNoRule;
  bool operator==(const Decision&) const = default;
};

// A position in the text of a policy.
struct Source {
  std::string file;
  std::size_t line = 0;    // from 1
  std::size_t column = 0;  // from 1, in bytes
};

// One step of a pattern: a component, or `**`, which matches any number of components.
struct Component {
  bool any_depth = false;
  Glob glob;
};

struct Rule {
  TierId tier = TierId::kData;
  std::string pattern;  // as written, without trailing blanks
  std::string line;     // as written, for diagnostics; cut if very long
  Source source;        // position of the pattern
  bool directories_only = false;
  // Without a leading any_depth the pattern is anchored at the root of the mount. The last
  // component is never any_depth: a rule covers everything beneath a match to any depth, so a
  // trailing `/**` means the same as `/*`.
  std::vector<Component> components;

  // Returns text such as "acng.tiers:7: 3 /var/cache/".
  [[nodiscard]] std::string Describe() const {
    return source.file + ":" + std::to_string(source.line) + ": " + std::to_string(NumberOf(tier)) + " " + pattern;
  }
};

}  // namespace tierfs::policy
