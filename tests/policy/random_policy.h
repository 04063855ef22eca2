// Random patterns and paths made of few names, so that they often match.
#pragma once

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tierfs::policy::testing {

class RandomPolicy {
 public:
  explicit RandomPolicy(std::uint64_t seed) : random_(seed) {}

  [[nodiscard]] std::size_t Below(std::size_t bound) { return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_); }
  [[nodiscard]] bool OneIn(std::size_t n) { return Below(n) == 0; }

  [[nodiscard]] std::string Name() {
    static const std::vector<std::string> kNames = {"a",   "b",       "c", "ab", "ba", "abc", "a.b", "x.c",
                                                    "a b", "caf\xE9", "-", "]",  "a*", "\\",  "7"};
    return kNames[OneIn(4) ? Below(kNames.size()) : Below(5)];
  }

  [[nodiscard]] std::string Path() {
    std::string path = Name();
    for (std::size_t more = Below(4); more > 0; --more) path += "/" + Name();
    return path;
  }

  // A pattern, most often a well-formed one.
  [[nodiscard]] std::string Pattern() {
    if (OneIn(6)) return Noise();
    std::string pattern = OneIn(3) ? "/" : "";
    pattern += Piece();
    for (std::size_t more = Below(4); more > 0; --more) pattern += "/" + Piece();
    if (OneIn(4)) pattern += "/";
    if (OneIn(20)) pattern += OneIn(2) ? "  " : "\\ ";
    return pattern;
  }

 private:
  std::string Piece() {
    static const std::vector<std::string> kPieces = {
        "*",   "?",   "**",  "a*",   "*b",     "*a*",         "[ab]",         "[!a]",  "[^b]*", "[[:alpha:]]", "[[:alpha:].]*", "a**",
        "**b", "***", "\\a", "a\\*", "[]a]",   "[a\\]-]",     "[a-c]*",       "[c-a]", "?*",    "*?",          "[!]-]",         "a?",
        "*.*", "*.c", "x.*", "??",   "*[ab]*", "[[:digit:]]", "[\x80-\xFF]*", "*\xE9", "a*b*c", "[[:a]",       "[a-]",          "[--a]"};
    return OneIn(2) ? kPieces[Below(kPieces.size())] : OneIn(4) ? "**" : Name();
  }

  std::string Noise() {
    constexpr std::string_view kBytes = "aabbc***??[]!^-\\/::.";
    std::string noise;
    for (std::size_t more = 1 + Below(9); more > 0; --more) noise += kBytes[Below(kBytes.size())];
    return noise;
  }

  std::mt19937_64 random_;
};

}  // namespace tierfs::policy::testing
