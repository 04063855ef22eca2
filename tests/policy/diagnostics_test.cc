// Every error: its place, its rendering, and the expectation that it names.
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

struct Case {
  const char* name;
  std::string line;
  std::size_t column;
  const char* message;  // the beginning of the message
};

std::ostream& operator<<(std::ostream& out, const Case& test) { return out << test.name; }

class ErrorTest : public ::testing::TestWithParam<Case> {};

TEST_P(ErrorTest, NamesThePlaceAndTheExpectation) {
  const Case& test = GetParam();
  const ParseResult result = Parse("# first\n\n" + test.line + "\n4 /good\n", "dir/t.tiers", nullptr);
  EXPECT_FALSE(result.policy);
  ASSERT_EQ(result.errors.size(), 1u);
  const Diagnostic& error = result.errors[0];
  EXPECT_EQ(error.source.file, "dir/t.tiers");
  EXPECT_EQ(error.source.line, 3u);
  EXPECT_EQ(error.source.column, test.column);
  EXPECT_TRUE(error.message.starts_with(test.message)) << error.message;
  EXPECT_NE(error.message.find("expected"), std::string::npos) << error.message;
  EXPECT_EQ(error.code, "");
  // The caret is under the column.
  const std::string shown = error.Render();
  const std::size_t last = shown.rfind('\n', shown.size() - 2) + 1;
  EXPECT_EQ(shown.find('^', last) - last, 2 + test.column - 1) << shown;
  EXPECT_TRUE(shown.starts_with("dir/t.tiers:3:" + std::to_string(test.column) + ": ")) << shown;
}

INSTANTIATE_TEST_SUITE_P(
    All, ErrorTest,
    ::testing::Values(
        Case{"NoTier", "/usr", 1, "'/usr' is not a tier: expected 1 to 4 (or build, data, state, bulk), then a pattern"},
        Case{"Tier5", "  5 /x", 3, "'5' is not a tier"}, Case{"Tier0", "0 /x", 1, "'0' is not a tier"},
        Case{"UpperCase", "Bulk /x", 1, "'Bulk' is not a tier"}, Case{"NoPattern", "4", 2, "no pattern: expected one after the tier"},
        Case{"OnlySpaces", "4   ", 5, "no pattern: expected one after the tier"}, Case{"Negated", "4 !x", 3, "'!' is not needed"},
        Case{"SlashAlone", "4 /", 3, "'/' alone matches nothing"}, Case{"DoubleSlash", "4 /a//b", 6, "empty path component ('//')"},
        Case{"DoubleSlashAtTheEnd", "4 a//", 5, "empty path component ('//')"}, Case{"TwoSlashes", "4 //", 4, "empty path component"},
        Case{"Dot", "4 ./a", 3, "'.' never names an entry"}, Case{"DotDot", "4 /a/../b", 6, "'..' never names an entry"},
        Case{"OpenBracket", "4 /a/x[yz", 7, "'[' without its ']'"}, Case{"OpenBracketAtTheEnd", "4 [", 3, "'[' without its ']'"},
        Case{"EmptyBracket", "4 a[]", 4, "'[' without its ']'"}, Case{"BackslashInBracket", "4 a[b\\", 4, "'[' without its ']'"},
        Case{"RangeToBackslash", "4 a[b-\\", 4, "'[' without its ']'"},
        Case{"UnknownClass", "4 a[[:vowel:]]", 5, "unknown class '[:vowel:]'"},
        Case{"Nul", std::string("4 a\0b", 5), 4, "NUL byte: expected a text file"},
        Case{"IncludeNothing", "include  ", 10, "no file: expected 'include FILE'"},
        Case{"TooLong", "4 " + std::string(5000, 'a'), 3, "the pattern is too long: expected at most 4096 bytes"}),
    [](const auto& which) { return std::string(which.param.name); });

TEST(Diagnostics, AllErrorsOfAFileAreReported) {
  const ParseResult result = Parse("x /a\n4 /ok\n4 [\n4 a//b\n", "t", nullptr);
  ASSERT_EQ(result.errors.size(), 3u);
  EXPECT_EQ(result.errors[0].source.line, 1u);
  EXPECT_EQ(result.errors[1].source.line, 3u);
  EXPECT_EQ(result.errors[2].source.line, 4u);
}

TEST(Diagnostics, TheLineIsShownWithACaret) {
  const ParseResult result = Parse("4\t/a//b\n", "t", nullptr);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].Render(),
            "t:1:6: empty path component ('//'): expected a name between the slashes\n"
            "  4\t/a//b\n"
            "   \t   ^\n");
}

TEST(Diagnostics, ControlBytesAreNotShown) {
  const ParseResult result = Parse("\x1B[31m\x7F /x\n", "t", nullptr);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].Render().find('\x1B'), std::string::npos);
  EXPECT_EQ(result.errors[0].Render().find('\x7F'), std::string::npos);
}

TEST(Diagnostics, TheNumberAndSizeOfErrorsAreBounded) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "x /a\n";
  const ParseResult many = Parse(text, "t", nullptr);
  EXPECT_EQ(many.errors.size(), kMaxDiagnostics);
  EXPECT_NE(many.errors.back().message.find("(and 19000 more errors)"), std::string::npos);
  const ParseResult wide = Parse(std::string(1 << 20, 'x'), "t", nullptr);
  ASSERT_EQ(wide.errors.size(), 1u);
  EXPECT_LT(wide.errors[0].Render().size(), 4096u);
}

TEST(Diagnostics, TheNumberOfRulesIsBounded) {
  std::string text;
  for (std::size_t i = 0; i <= kMaxRules; ++i) text += "4 a\n";
  const ParseResult result = Parse(text, "t", nullptr);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].source.line, kMaxRules + 1);
  EXPECT_EQ(result.errors[0].message, "too many rules: expected at most 100000");
}

TEST(Diagnostics, ATooLargeTextIsRefusedUnread) {
  const ParseResult result = Parse(std::string(kMaxText + 1, '\n'), "t", nullptr);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].Headline(), "t:1:1: too large: expected at most 64 MiB of rules");
}

}  // namespace
}  // namespace tierfs::policy::testing
