// A file that states which tiers paths belong to, as a test of a policy.
//
//   # comment
//   policy FILE         the policy under test, relative to this file; at most once
//   PATH -> TIER        a path with a trailing slash is a directory
//                       TIER as in a policy: 1 to 4, or build, data, state, bulk
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "policy/diagnostic.h"
#include "policy/tier_id.h"

namespace tierfs::tools {

struct Expectation {
  std::size_t line;
  std::string path;
  bool is_dir;
  TierId tier;
};

struct Expectations {
  std::string policy_file;  // empty if the file names none
  std::vector<Expectation> lines;
  std::vector<policy::Diagnostic> errors;  // all of them
};

[[nodiscard]] Expectations ReadExpectations(const std::string& file);

}  // namespace tierfs::tools
