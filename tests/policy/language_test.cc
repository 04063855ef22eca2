// The rule language: which pattern matches which path. git_test.cc compares patterns with git
// itself; this file has the cases that users ask about.
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

struct Case {
  const char* pattern;
  const char* path;
  bool matches;
};

class PatternTest : public ::testing::TestWithParam<Case> {};

TEST_P(PatternTest, Matches) {
  const auto policy = PolicyOf("4 " + std::string(GetParam().pattern) + "\n");
  ASSERT_TRUE(policy);
  EXPECT_EQ(TierOf(*policy, GetParam().path) == 4, GetParam().matches) << GetParam().pattern << " on " << GetParam().path;
}

INSTANTIATE_TEST_SUITE_P(Anchoring, PatternTest,
                         ::testing::Values(Case{"log", "log", true}, Case{"log", "a/b/log", true}, Case{"log", "a/log/b", true},
                                           Case{"log", "logs", false}, Case{"/log", "log", true}, Case{"/log", "a/log", false},
                                           Case{"a/log", "a/log", true}, Case{"a/log", "b/a/log", false}, Case{"/a/log", "a/log/x/y", true},
                                           Case{"log/", "log", false}, Case{"log/", "log/", true}, Case{"log/", "log/x", true},
                                           Case{"log/", "a/log/x", true}, Case{"/log/", "log/x", true}, Case{"/log/", "a/log/x", false},
                                           Case{"a/log/", "a/log", false}));

INSTANTIATE_TEST_SUITE_P(Globs, PatternTest,
                         ::testing::Values(Case{"*.pyc", "x.pyc", true}, Case{"*.pyc", "a/.pyc", true}, Case{"*.pyc", "x.py", false},
                                           Case{"*.pyc", "x.pyc.bak", false}, Case{"a*b", "ab", true}, Case{"a*b", "axxb", true},
                                           Case{"a*b", "axxbc", false}, Case{"/a*/b", "axx/b", true}, Case{"/a*/b", "ax/x/b", false},
                                           Case{"/a*b", "ax/xb", false}, Case{"?", "x", true}, Case{"?", "xy", false},
                                           Case{"/?/x", "a/x", true}, Case{"[a-c]x", "bx", true}, Case{"[a-c]x", "dx", false},
                                           Case{"[!a-c]x", "dx", true}, Case{"[^a-c]x", "ax", false}, Case{"[]-]x", "]x", true},
                                           Case{"[]-]x", "-x", true}, Case{"[a-]x", "-x", true}, Case{"[[:digit:]]", "7", true},
                                           Case{"[[:digit:]]", "x", false}, Case{"[![:space:]]", " ", false},
                                           Case{"[[:upper:][:digit:]_]", "_", true}, Case{"[\\]]", "]", true}, Case{"[c-a]", "b", false},
                                           Case{"*", "anything", true}, Case{"/*", "a/b", true}, Case{"*a*a*", "bab", false},
                                           Case{"*a*a*", "xaxax", true}));

INSTANTIATE_TEST_SUITE_P(AnyDepth, PatternTest,
                         ::testing::Values(Case{"**/foo", "foo", true}, Case{"**/foo", "a/b/foo", true},
                                           Case{"**/foo/bar", "x/foo/bar", true}, Case{"**/foo/bar", "x/foo/y/bar", false},
                                           Case{"foo/**", "foo", false}, Case{"foo/**", "foo/", false}, Case{"foo/**", "foo/a/b", true},
                                           Case{"foo/**", "x/foo/a", false}, Case{"a/**/b", "a/b", true}, Case{"a/**/b", "a/x/y/b", true},
                                           Case{"a/**/b", "a/x/c", false}, Case{"a/**/b", "xa/b", false}, Case{"a/**/b/", "a/x/b", false},
                                           Case{"a/**/b/", "a/x/b/y", true}, Case{"a/**/**/b", "a/b", true},
                                           Case{"a/***/b", "a/x/y/b", true}, Case{"/**", "a/b", true}, Case{"**", "a", true},
                                           Case{"**/", "a", false}, Case{"**/", "a/b", true}, Case{"foo/**/", "foo/x", false},
                                           Case{"foo/**/", "foo/x/", true}, Case{"a**b", "axb", true}, Case{"/a**b", "a/b", false},
                                           Case{"**/a/**/b", "x/a/y/b/z", true}, Case{"**/a/**/b", "x/y/b/z", false}));

INSTANTIATE_TEST_SUITE_P(Escapes, PatternTest,
                         ::testing::Values(Case{"\\*", "*", true}, Case{"\\*", "a", false}, Case{"\\!a", "!a", true},
                                           Case{"\\#a", "#a", true}, Case{"#a", "#a", true}, Case{"a\\ ", "a ", true},
                                           Case{"a\\  ", "a ", true}, Case{"a ", "a", true}, Case{"a b", "a b", true},
                                           Case{"a\\", "a", false}, Case{"a\\", "a\\", false}, Case{"a\\\\", "a\\", true},
                                           Case{"x\\/y", "x/y", true}, Case{"x\\/", "x/", false}, Case{"\\a\\b", "ab", true},
                                           Case{"a\\[", "a[", true}));

INSTANTIATE_TEST_SUITE_P(Bytes, PatternTest,
                         ::testing::Values(Case{"caf\xE9", "caf\xE9", true}, Case{"caf?", "caf\xE9", true}, Case{"*\xFF", "\xFE\xFF", true},
                                           Case{"[\x80-\xFF]", "\xC3", true}, Case{"[\x80-\xFF]", "a", false}, Case{"?", "\xC3\xA9", false},
                                           Case{"??", "\xC3\xA9", true}, Case{"[!a]", "\xFF", true},
                                           Case{"*\x01\x7F*", "a\x01\x7F b", true}));

TEST(Language, EveryByteButNulAndSlashCanBeMatchedLiterallyAndByGlob) {
  for (int byte = 1; byte < 256; ++byte) {
    if (byte == '/' || byte == '\n') continue;
    const std::string c(1, static_cast<char>(byte));
    const std::string name = "x" + c + "y";
    EXPECT_EQ(TierOf(*PolicyOf("4 x\\" + c + "y\n"), name), 4) << byte;
    EXPECT_EQ(TierOf(*PolicyOf("4 x?y\n"), name), 4) << byte;
    EXPECT_EQ(TierOf(*PolicyOf("4 x[\\" + c + "]y\n"), name), 4) << byte;
    EXPECT_EQ(TierOf(*PolicyOf("4 *\\" + c + "*\n"), name), 4) << byte;
  }
}

TEST(Language, TheLastMatchWinsEvenBeneathACoveredDirectory) {
  const auto policy = PolicyOf("4 /usr/\n2 /usr/local/\n3 /usr/local/cache/\n1 *.conf\n");
  EXPECT_EQ(TierOf(*policy, "usr/bin/ls"), 4);
  EXPECT_EQ(TierOf(*policy, "usr/local/bin/x"), 2);
  EXPECT_EQ(TierOf(*policy, "usr/local/cache/deep/x"), 3);
  EXPECT_EQ(TierOf(*policy, "usr/local/cache/deep/x.conf"), 1);
  EXPECT_EQ(TierOf(*policy, "home/x"), 2);
  EXPECT_EQ(TierOf(*policy, "etc/x.conf/beneath"), 1);
  const auto reversed = PolicyOf("2 /usr/local/\n4 /usr/\n");
  EXPECT_EQ(TierOf(*reversed, "usr/local/bin/x"), 4);
}

TEST(Language, APathWithoutAMatchIsData) {
  const auto policy = PolicyOf("# nothing\n\n   \n\t\n");
  EXPECT_TRUE(policy->rules().empty());
  EXPECT_EQ(policy->DecisionFor("a/b", false), (Decision{TierId::kData, kNoRule}));
  EXPECT_EQ(policy->DecisionFor("", true), (Decision{TierId::kData, kNoRule}));
}

TEST(Language, TheRootItselfMatchesNothing) {
  EXPECT_EQ(TierOf(*PolicyOf("4 *\n"), "/"), 2);
  EXPECT_EQ(TierOf(*PolicyOf("4 /**\n"), ""), 2);
}

TEST(Language, TiersHaveNamesAndNumbers) {
  for (const char* line : {"1 /x", "tier1 /x", "build /x", "  1   /x", "\t1\t/x", "1 /x\r"}) {
    EXPECT_EQ(TierOf(*PolicyOf(std::string(line) + "\n"), "x"), 1) << line;
  }
  for (const char* line : {"2 /x", "tier2 /x", "data /x"}) EXPECT_EQ(TierOf(*PolicyOf("4 *\n" + std::string(line)), "x"), 2) << line;
  for (const char* line : {"3 /x", "tier3 /x", "state /x"}) EXPECT_EQ(TierOf(*PolicyOf(line), "x"), 3) << line;
  for (const char* line : {"4 /x", "tier4 /x", "bulk /x"}) EXPECT_EQ(TierOf(*PolicyOf(line), "x"), 4) << line;
}

TEST(Language, AByteOrderMarkAndAMissingLastNewlineAreAccepted) {
  EXPECT_EQ(TierOf(*PolicyOf("\xEF\xBB\xBF"
                             "4 /x"),
                   "x"),
            4);
}

TEST(Language, EmptyPathComponentsAreSkipped) {
  const auto policy = PolicyOf("4 /a/b\n");
  EXPECT_EQ(TierOf(*policy, "//a///b"), 4);
  EXPECT_EQ(TierOf(*policy, "/a/b/"), 4);
}

}  // namespace
}  // namespace tierfs::policy::testing
