// Counts files in another tier than their policy gives them. The count is made in the trees
// themselves.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "fs/config/config.h"
#include "policy/policy.h"

namespace tierfs {

struct Misplaced {
  struct Tally {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
  };
  // [from][to], by tier number less one.
  std::array<std::array<Tally, kTierCount>, kTierCount> moves;
  // "" or one line: a tree could not be read in full.
  std::string error;
};

// Works with and without a mount. Reads no file. `progress` is called now and then with the number
// of entries seen.
[[nodiscard]] Misplaced CountMisplaced(const Config& config, const policy::Policy& policy,
                                       const std::function<void(std::uint64_t seen)>& progress);

}  // namespace tierfs
