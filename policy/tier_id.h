#pragma once

#include <cstdint>

namespace tierfs {

// How a file has to be kept. The number is what users write in policies and configs; a lower number
// is better protected.
enum class TierId : std::uint8_t {
  kBuild = 1,  // build script, configuration: versioned
  kData = 2,   // user data, credentials: backed up
  kState = 3,  // caches, generated state: kept, not backed up
  kBulk = 4,   // installed system: thrown away at a rebuild
};

inline constexpr int kTierCount = 4;

[[nodiscard]] constexpr int NumberOf(TierId tier) { return static_cast<int>(tier); }

}  // namespace tierfs
