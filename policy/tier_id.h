#pragma once

#include <cstdint>

namespace tierfs {

// The protection that a file gets. Users write the number in policies and configs. A lower number
// means better protection.
enum class TierId : std::uint8_t {
  kBuild = 1,  // build script, configuration: versioned
  kData = 2,   // user data, credentials: backed up
  kState = 3,  // caches, generated state: kept, not backed up
  kBulk = 4,   // installed system: discarded at a rebuild
};

inline constexpr int kTierCount = 4;

[[nodiscard]] constexpr int NumberOf(TierId tier) { return static_cast<int>(tier); }

}  // namespace tierfs
