// A reference implementation of the policy: it tries rule by rule.
#pragma once

#include <cstdint>
#include <string_view>

#include "policy/match.h"
#include "policy/policy.h"

namespace tierfs::policy::testing {

// The last rule that matches the path or a directory above it.
inline Decision ByTheRules(const Policy& policy, std::string_view path, bool is_dir) {
  const std::vector<std::string_view> names = ComponentsOf(path);
  Decision decision;
  for (std::uint32_t rule = 0; rule < policy.rules().size(); ++rule) {
    if (FirstMatch(policy.rules()[rule], names, is_dir)) decision = Decision{policy.rules()[rule].tier, RuleId{rule}};
  }
  return decision;
}

// The state of the directory `path` beneath `from`.
inline State StateBelow(const Policy& policy, State from, std::string_view path) {
  for (const std::string_view name : ComponentsOf(path)) from = policy.Step(from, name);
  return from;
}

inline State StateAt(const Policy& policy, std::string_view path) { return StateBelow(policy, policy.Root(), path); }

}  // namespace tierfs::policy::testing
