#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

ParseResult ParseWith(std::string_view text, const Files& files) { return Parse(text, "t.tiers", ResolverOf(files)); }

TEST(Include, IncludedRulesTakeThePlaceOfTheInclude) {
  const Files files{{"more", "3 /a\n3 /b\n"}};
  const auto policy = PolicyOf("4 /a\ninclude more\n4 /b\n", files);
  EXPECT_EQ(TierOf(*policy, "a"), 3);
  EXPECT_EQ(TierOf(*policy, "b"), 4);
  EXPECT_EQ(policy->rules()[1].source.file, "more");
  EXPECT_EQ(policy->rules()[1].source.line, 1u);
  EXPECT_EQ(policy->rules()[3].source.file, "t.tiers");
  EXPECT_EQ(policy->rules()[3].source.line, 3u);
}

TEST(Include, TheResolverLearnsTheIncludingFile) {
  std::string asked;
  const IncludeResolver resolver = [&](std::string_view wanted, std::string_view from) -> IncludeAnswer {
    asked += std::string(from) + ">" + std::string(wanted) + " ";
    return {IncludedFile{"dir/" + std::string(wanted), wanted == "a" ? "include b" : "4 /x"}, ""};
  };
  const ParseResult result = Parse("include a  \n", "main", resolver);
  EXPECT_TRUE(result.policy);
  EXPECT_EQ(asked, "main>a dir/a>b ");
}

TEST(Include, AMissingFileIsAnErrorAtTheInclude) {
  const ParseResult result = ParseWith("4 /a\n  include  nowhere\n", {});
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].Headline(), "t.tiers:2:12: cannot include 'nowhere': No such file or directory");
  EXPECT_FALSE(result.policy);
}

TEST(Include, ErrorsOfAllFilesAreReported) {
  const ParseResult result = ParseWith("x /a\ninclude more\ny /b\n", {{"more", "4 /ok\nz /c\n"}});
  ASSERT_EQ(result.errors.size(), 3u);
  EXPECT_EQ(result.errors[0].source.line, 1u);
  EXPECT_EQ(result.errors[1].source.file, "more");
  EXPECT_EQ(result.errors[1].source.line, 2u);
  EXPECT_EQ(result.errors[2].source.file, "t.tiers");
  EXPECT_EQ(result.errors[2].line, "y /b");
}

TEST(Include, ACycleIsRefused) {
  const ParseResult self = ParseWith("include t.tiers\n", {{"t.tiers", "include t.tiers\n"}});
  ASSERT_EQ(self.errors.size(), 1u);
  EXPECT_EQ(self.errors[0].message, "'t.tiers' includes itself: expected no circle of includes");
  const ParseResult two = ParseWith("include a\n", {{"a", "include b\n"}, {"b", "4 /x\ninclude a\n"}});
  ASSERT_EQ(two.errors.size(), 1u);
  EXPECT_EQ(two.errors[0].Headline(), "b:2:9: 'a' includes itself: expected no circle of includes");
}

TEST(Include, TheSameFileTwiceInARowIsNoCycle) { EXPECT_EQ(PolicyOf("include a\ninclude a\n", {{"a", "4 /x\n"}})->rules().size(), 2u); }

TEST(Include, DepthIsBounded) {
  Files files;
  for (int i = 0; i < 30; ++i) files["f" + std::to_string(i)] = "include f" + std::to_string(i + 1) + "\n";
  files["f30"] = "4 /x\n";
  const ParseResult result = ParseWith("include f0\n", files);
  ASSERT_EQ(result.errors.size(), 1u);
  EXPECT_EQ(result.errors[0].Headline(), "f14:1:9: includes nested too deep: expected at most 16 files");
  EXPECT_TRUE(ParseWith("include f16\n", files).policy);
}

TEST(Include, AnExplosionOfIncludesIsRefused) {
  Files files;
  for (int i = 0; i < 12; ++i) {
    for (int j = 0; j < 10; ++j) files["f" + std::to_string(i)] += "include f" + std::to_string(i + 1) + "\n";
  }
  files["f12"] = "4 /x\n";
  const ParseResult result = ParseWith("include f0\n", files);
  ASSERT_FALSE(result.errors.empty());
  EXPECT_EQ(result.errors[0].message, "too many includes: expected at most 1000 in all");
  EXPECT_LE(result.errors.size(), kMaxDiagnostics);
}

TEST(Include, TheTotalTextIsBounded) {
  const Files files{{"big", std::string(std::size_t{10} << 20, '#')}};
  std::string text;
  for (int i = 0; i < 10; ++i) text += "include big\n";
  const ParseResult result = ParseWith(text, files);
  ASSERT_EQ(result.errors.size(), 4u);
  EXPECT_EQ(result.errors[0].source.line, 7u);
  EXPECT_EQ(result.errors[0].message, "too large: expected at most 64 MiB of rules with all that is included");
}

TEST(Include, PresetsNeedNoResolver) {
  const ParseResult result = Parse("include <python>\n", "t", nullptr);
  ASSERT_TRUE(result.policy);
  EXPECT_EQ(result.policy->rules()[0].source.file, "<python>");
  const ParseResult file = Parse("include x\n", "t", nullptr);
  ASSERT_EQ(file.errors.size(), 1u);
  EXPECT_EQ(file.errors[0].message, "cannot include 'x': no files can be included here");
}

TEST(Include, AnErrorForAnUnknownPresetNamesTheKnownOnes) {
  for (const char* text : {"include <perl>\n", "include <\n", "include <>\n", "include <debian\n"}) {
    const ParseResult result = ParseWith(text, {});
    ASSERT_EQ(result.errors.size(), 1u) << text;
    EXPECT_EQ(result.errors[0].source.column, 9u);
    EXPECT_NE(result.errors[0].message.find("expected one of <debian>, <docker>, <node>, <python>"), std::string::npos);
  }
}

}  // namespace
}  // namespace tierfs::policy::testing
