// Characters that look random, for credentials that are none.
#pragma once

#include <cstdint>
#include <string>

namespace tierfs::testing {

// Deterministic characters that look random, different for each seed.
inline std::string Noise(std::size_t size, std::uint64_t seed, const std::string& alphabet) {
  std::string noise;
  std::uint64_t state = seed * 2654435761ULL + 88172645463325252ULL;
  while (noise.size() < size) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    noise += alphabet[state % alphabet.size()];
  }
  return noise;
}
inline std::string Hex(std::size_t size, std::uint64_t seed) { return Noise(size, seed, "0123456789abcdef"); }
inline std::string Alnum(std::size_t size, std::uint64_t seed) {
  return Noise(size, seed, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
}
inline std::string Upper(std::size_t size, std::uint64_t seed) { return Noise(size, seed, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"); }

}  // namespace tierfs::testing
