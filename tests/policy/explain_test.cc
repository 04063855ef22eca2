#include "tests/policy/random_policy.h"
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

std::string Shown(const Policy& policy, std::string_view path) {
  const Policy::Explanation explanation = policy.Explain(path, path.ends_with('/'));
  std::string text = std::to_string(NumberOf(explanation.decision.tier));
  for (const auto& match : explanation.matches) text += " | " + policy.RuleOf(match.rule).Describe() + " at " + match.at;
  for (const RuleId rule : explanation.may_change_below) text += " | below: " + policy.RuleOf(rule).Describe();
  return text;
}

TEST(Explain, GivesTheWinnerThenTheOverriddenRulesInOrder) {
  const auto policy = PolicyOf("# packages\n4 /usr/\n3 *.pyc\n\n2 /usr/local/\n");
  EXPECT_EQ(Shown(*policy, "usr/local/lib/x.pyc"),
            "2 | t.tiers:5: 2 /usr/local/ at usr/local | t.tiers:3: 3 *.pyc at usr/local/lib/x.pyc | t.tiers:2: 4 "
            "/usr/ at usr");
  EXPECT_EQ(Shown(*policy, "usr/x.pyc"), "3 | t.tiers:3: 3 *.pyc at usr/x.pyc | t.tiers:2: 4 /usr/ at usr");
  EXPECT_EQ(Shown(*policy, "home/x"), "2");
}

TEST(Explain, NamesTheFileOfAnIncludedRule) {
  const auto policy = PolicyOf("include <python>\n", {});
  EXPECT_TRUE(Shown(*policy, "a/__pycache__/x").starts_with("3 | <python>:")) << Shown(*policy, "a/__pycache__/x");
}

TEST(Explain, OfADirectoryGivesTheRulesThatCanStillDecideBeneath) {
  const auto policy = PolicyOf("4 /usr/\n2 /usr/local/\n1 /etc/\n3 *.pyc\n");
  EXPECT_EQ(Shown(*policy, "usr/"), "4 | t.tiers:1: 4 /usr/ at usr | below: t.tiers:2: 2 /usr/local/ | below: t.tiers:4: 3 *.pyc");
  EXPECT_EQ(Shown(*policy, "usr/local/"),
            "2 | t.tiers:2: 2 /usr/local/ at usr/local | t.tiers:1: 4 /usr/ at usr | below: t.tiers:4: 3 *.pyc");
  EXPECT_EQ(Shown(*policy, "usr/local"), "4 | t.tiers:1: 4 /usr/ at usr");  // a file of this name
}

TEST(Explain, ARuleThatRevertsAnEarlierOneIsListedToo) {
  const auto policy = PolicyOf("2 *.keep\n4 *.o\n2 *.important\n");
  EXPECT_EQ(Shown(*policy, "src/"), "2 | below: t.tiers:2: 4 *.o | below: t.tiers:3: 2 *.important");
}

TEST(Explain, TheWinnerIsTheDecision) {
  RandomPolicy random(5);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 12; ++i) {
      const std::string line = std::to_string(1 + random.Below(4)) + " " + random.Pattern() + "\n";
      if (Parse(line, "t", nullptr).errors.empty()) text += line;
    }
    const auto policy = PolicyOf(text);
    for (int i = 0; i < 30; ++i) {
      const std::string path = random.Path();
      const auto explanation = policy->Explain(path, random.OneIn(2));
      const RuleId first = explanation.matches.empty() ? kNoRule : explanation.matches.front().rule;
      ASSERT_EQ(explanation.decision.rule, first) << path << "\n" << text;
      for (std::size_t m = 1; m < explanation.matches.size(); ++m) {
        EXPECT_LT(explanation.matches[m].rule.value, explanation.matches[m - 1].rule.value);
      }
    }
  }
}

}  // namespace
}  // namespace tierfs::policy::testing
