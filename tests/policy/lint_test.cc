#include "policy/lint.h"

#include <algorithm>
#include <ctime>

#include "policy/match.h"
#include "policy/presets.h"
#include "tests/policy/random_policy.h"
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

std::vector<Diagnostic> LintOf(std::string_view text, const Files& files = {}) {
  const ParseResult parsed = Parse(text, "t", ResolverOf(files));
  for (const Diagnostic& error : parsed.errors) ADD_FAILURE() << error.Render();
  return Lint(parsed);
}

// Returns "LINE:COLUMN code" for each warning.
std::string Codes(std::string_view text, const Files& files = {}) {
  std::string codes;
  for (const Diagnostic& warning : LintOf(text, files)) {
    codes += (codes.empty() ? "" : ", ") + std::to_string(warning.source.line) + ":" + std::to_string(warning.source.column) + " " +
             warning.code;
  }
  return codes;
}

TEST(Lint, GivesNoWarningForAnOrdinaryPolicy) {
  EXPECT_EQ(Codes("4 /usr/\n4 /var/lib/dpkg/\n1 /etc/\n2 /etc/ssl/private/\n3 /var/cache/\n3 *.pyc\n"), "");
}

TEST(Lint, FindsRulesThatCanNeverWin) {
  EXPECT_EQ(Codes("2 /usr/local/\n4 /usr/\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4  /usr/x*\n2 /usr/*\n"), "1:4 never-wins");
  EXPECT_EQ(Codes("4 a.pyc\n3 *.pyc\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4 *.b.pyc\n3 *.pyc\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4 /a/b/c\n3 b/\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4 /a/**/b/c\n3 /a/**/b\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4 x\n3 *\n"), "1:3 never-wins");
  EXPECT_EQ(Codes("4 /a\n3 *[a-z]\n"), "1:3 never-wins");
}

TEST(Lint, GivesNoWarningIfTheLaterRuleLeavesAPathOut) {
  EXPECT_EQ(Codes("4 /usr\n2 /usr/\n"), "");  // a file of this name
  EXPECT_EQ(Codes("4 /a/b\n3 b/\n"), "");
  EXPECT_EQ(Codes("4 x\n3 /x\n"), "");
  EXPECT_EQ(Codes("4 *.pyc\n3 a.pyc\n"), "");
  EXPECT_EQ(Codes("4 /usr/\n2 /usr/local/\n"), "");
  EXPECT_EQ(Codes("4 /a/**/b\n3 /a/b\n"), "");
}

TEST(Lint, FindsDuplicates) {
  const auto warnings = LintOf("4 /a\n3 /b\n2 /a\n");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].code, "duplicate");
  EXPECT_EQ(warnings[0].Headline(), "t:1:3: the same pattern again in t:3: 2 /a");
  EXPECT_EQ(warnings[0].line, "4 /a");
}

TEST(Lint, QuotedRulesContainNoControlBytes) {
  const auto warnings = LintOf("4 /a\x1b]0;m\xff\n3 /b\n2 /a\x1b]0;m\xff\n");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].Headline(), "t:1:3: the same pattern again in t:3: 2 /a?]0;m\xff");
}

TEST(Lint, OverridingAPresetIsNoMistake) {
  EXPECT_EQ(Codes("include <debian>\n3 /var/log/\n4 /usr/\n"), "");
  EXPECT_EQ(Codes("4 /usr/lib/x\ninclude <debian>\n"), "1:3 never-wins");
}

TEST(Lint, FindsProbableMistakes) {
  EXPECT_EQ(Codes("1 /var/cache/x/\n"), "1:3 tier1-cache");
  EXPECT_EQ(Codes("1 node_modules/\n"), "1:3 tier1-cache");
  EXPECT_EQ(Codes("3 /etc/foo/\n"), "1:3 tier3-etc");
  EXPECT_EQ(Codes("4 /etc/foo/\n"), "");
  for (const char* name : {"*.pem", "shadow", "id_rsa", "*.kdbx", "/etc/ssl/server.key", "/etc/private/", ".ssh/", "/etc/krb5.keytab"}) {
    EXPECT_EQ(Codes("1 " + std::string(name) + "\n"), "1:3 tier1-credential") << name;
    EXPECT_EQ(Codes("2 " + std::string(name) + "\n"), "") << name;
  }
}

TEST(Lint, FindsTypingErrors) {
  EXPECT_EQ(Codes("4 /a \n"), "1:5 trailing-space");
  EXPECT_EQ(Codes("4 /a\\ \n"), "");
  EXPECT_EQ(Codes("4 /a\\\n"), "1:5 trailing-backslash");
  EXPECT_EQ(Codes("4 /a\\\\\n"), "");
  EXPECT_EQ(Codes("4 /a\\/\n"), "1:5 trailing-backslash");
  EXPECT_EQ(Codes("4 /a # cache\n"), "1:5 comment-in-pattern");
}

TEST(Lint, WarningsAreSortedByFileThenLine) {
  const Files files{{"z", "4 /m\n4 /m\n1 *.pem\n"}, {"b", "3 /etc/x\n"}};
  std::string order;
  for (const Diagnostic& warning : LintOf("4 /k \ninclude z\n4 /k\ninclude b\n1 *.key\n", files)) {
    order += warning.source.file + std::to_string(warning.source.line) + " ";
  }
  EXPECT_EQ(order, "t1 t1 t5 z1 z3 b1 ");
}

TEST(Lint, TheNumberOfWarningsIsBounded) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "1 *.pem\n";
  const auto warnings = LintOf(text);
  EXPECT_EQ(warnings.size(), kMaxWarnings + 1);
  EXPECT_EQ(warnings.back().code, "more");
  EXPECT_EQ(warnings.back().message, "8999 more warnings are not shown");
}

// Measures processor time, which does not depend on the load of the machine.
TEST(Lint, FiveThousandRulesOfTheWorstKindTakeLessThanASecond) {
  std::string under_one;
  std::string globs;
  for (int i = 0; i < 5000; ++i) {
    under_one += "4 /usr/share/d" + std::to_string(i) + "/\n";
    globs += "4 *x" + std::to_string(i) + "*y\n";
  }
  for (const std::string& text : {under_one, globs}) {
    const ParseResult parsed = Parse(text, "t", nullptr);
    const std::clock_t start = std::clock();
    EXPECT_TRUE(Lint(parsed).empty());
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, kInstrumented ? 10 : 1);
  }
}

TEST(Lint, ReportsThatNotAllRulesWereCompared) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "4 *x" + std::to_string(i) + "*y\n";
  const auto warnings = LintOf(text);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0].code, "not-all-compared");
}

TEST(Lint, ACoveredRuleNeverWins) {
  RandomPolicy random(6);
  int covered = 0;
  for (int i = 0; i < 20000; ++i) {
    const std::string text = "4 " + random.Pattern() + "\n3 " + random.Pattern() + "\n";
    const ParseResult parsed = Parse(text, "t", nullptr);
    if (!parsed.policy) continue;
    const auto& rules = parsed.policy->rules();
    if (!Covers(rules[1], rules[0])) continue;
    ++covered;
    for (int j = 0; j < 20; ++j) {
      const std::string path = random.Path();
      for (const bool is_dir : {false, true}) EXPECT_NE(NumberOf(parsed.policy->DecisionFor(path, is_dir).tier), 4) << path << "\n" << text;
    }
  }
  EXPECT_GT(covered, 200);
}

}  // namespace
}  // namespace tierfs::policy::testing
