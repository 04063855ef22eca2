// A promise that a fuzzed input must not break.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace tierfs::testing {

inline void Require(bool kept, const char* promise, std::string_view where = "") {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\nat: %.*s\n", promise, static_cast<int>(where.size()), where.data());
  std::abort();
}

}  // namespace tierfs::testing
