// What a settling has done so far.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "policy/tier_id.h"

namespace tierfs {

// Written by the thread that settles, read and cancelled by others.
struct Settling {
  struct Tally {
    std::atomic<std::uint64_t> files{0};
    std::atomic<std::uint64_t> bytes{0};
  };
  std::array<std::array<Tally, kTierCount>, kTierCount> moved;  // [from][to], by tier index; with a dry run: what would be moved
  std::atomic<std::uint64_t> seen{0};                           // entries looked at
  Tally waiting;                                                // open: they move when they are closed
  Tally linked;                                                 // with several names, and on another mount: they stay
  std::atomic<std::uint64_t> failed{0};
  std::atomic<bool> cancelled{false};  // it stops at the next entry
};

}  // namespace tierfs
