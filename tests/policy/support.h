// Helpers of the policy tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "policy/policy.h"
#include "tests/policy/reference.h"

namespace tierfs::policy::testing {

// Sanitizers slow everything down; times are then checked for their order of magnitude only.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kInstrumented = true;
#else
inline constexpr bool kInstrumented = false;
#endif

// The files that can be included, by name. `from` is ignored.
using Files = std::map<std::string, std::string>;

inline IncludeResolver ResolverOf(Files files) {
  return [files = std::move(files)](std::string_view wanted, std::string_view) -> IncludeAnswer {
    const auto found = files.find(std::string(wanted));
    if (found == files.end()) return {std::nullopt, "No such file or directory"};
    return {IncludedFile{found->first, found->second}, ""};
  };
}

// Parses a text that must have no errors.
inline std::shared_ptr<const Policy> PolicyOf(std::string_view text, const Files& files = {}) {
  const ParseResult result = Parse(text, "t.tiers", ResolverOf(files));
  for (const Diagnostic& error : result.errors) ADD_FAILURE() << error.Render();
  return result.policy;
}

// The tier of a path. A trailing slash marks a directory.
inline int TierOf(const Policy& policy, std::string_view path) { return NumberOf(policy.DecisionFor(path, path.ends_with('/')).tier); }

}  // namespace tierfs::policy::testing
