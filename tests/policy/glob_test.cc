// Globs for one path component, and the number of steps that matching takes.
#include "policy/glob.h"

#include <gtest/gtest.h>

#include <string>

namespace tierfs::policy {
namespace {

Glob Read(const std::string& text) {
  std::optional<Glob::Error> error;
  Glob glob = Glob::Parse(text, error);
  EXPECT_FALSE(error) << error->message;
  return glob;
}

std::string Repeat(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

TEST(Glob, KnowsItsLiteralParts) {
  EXPECT_EQ(Read("cache").literal(), "cache");
  EXPECT_EQ(Read("a\\*b").literal(), "a*b");
  EXPECT_FALSE(Read("a*b").literal());
  EXPECT_EQ(Read("a*b").LiteralPrefix(), "a");
  EXPECT_EQ(Read("a*bc").suffix(), "bc");
  EXPECT_EQ(Read("?ab*cde[x]f").LongestRun(), "cde");
  EXPECT_EQ(Read("[a]*?").LongestRun(), "");
  EXPECT_TRUE(Read("*.pyc").suffix_decides());
  EXPECT_FALSE(Read("?.pyc").suffix_decides());
  EXPECT_TRUE(Read("***").matches_all());
}

TEST(Glob, AHostilePatternTakesAtMostPatternTimesNameSteps) {
  const struct {
    std::string pattern;
    std::string name;
  } cases[] = {
      {Repeat("*a", 60) + "*b*", Repeat("a", 255)},   {Repeat("*a", 60) + "*[b]", Repeat("a", 255)},
      {Repeat("*", 2000) + "?x?", Repeat("y", 255)},  {Repeat("*?", 100) + "[b]", Repeat("a", 255)},
      {Repeat("a*", 100) + "[!a]", Repeat("a", 255)}, {Repeat("*[a-z]", 200) + "[0-9]", Repeat("q", 255)},
      {Repeat("*aab", 50) + "?", Repeat("aa", 127)},
  };
  for (const auto& [pattern, name] : cases) {
    std::size_t steps = 0;
    EXPECT_FALSE(Read(pattern).Matches(name, &steps)) << pattern;
    EXPECT_GT(steps, 0u) << pattern;
    EXPECT_LE(steps, pattern.size() * name.size()) << pattern;
  }
}

TEST(Glob, StepsGrowLinearlyWithTheName) {
  const Glob glob = Read("*a*a*a*a*[b]");
  const auto steps_for = [&](int length) {
    std::size_t steps = 0;
    EXPECT_FALSE(glob.Matches(Repeat("a", length), &steps));
    return steps;
  };
  const std::size_t once = steps_for(1000);
  const std::size_t twice = steps_for(2000);
  EXPECT_LT(twice, 3 * once);
}

}  // namespace
}  // namespace tierfs::policy
