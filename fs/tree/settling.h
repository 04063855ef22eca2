// The progress of a settling.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "policy/tier_id.h"

namespace tierfs {

// Written by the thread that settles; read and cancelled by other threads.
struct Settling {
  struct Tally {
    std::atomic<std::uint64_t> files{0};
    std::atomic<std::uint64_t> bytes{0};
  };
  // [from][to], by tier index. In a dry run: the files that would move.
  std::array<std::array<Tally, kTierCount>, kTierCount> moved;
  std::atomic<std::uint64_t> seen{0};  // entries examined
  // Open files: they move when they are closed.
  Tally waiting;
  // Files with several names whose class tier is on another mount: they stay.
  Tally linked;
  std::atomic<std::uint64_t> failed{0};
  std::atomic<bool> cancelled{false};  // stops at the next entry
};

}  // namespace tierfs
