// States of the automaton: they agree with a rule-by-rule match, equal ones are shared, and their
// cost is bounded.
#include <atomic>
#include <chrono>
#include <thread>

#include "tests/policy/random_policy.h"
#include "tests/policy/support.h"
#include "tests/policy/workload.h"

namespace tierfs::policy::testing {
namespace {

std::vector<Rule> RulesOf(const std::string& text) {
  ParsedRules parsed = ParseRules(text, "t", nullptr);
  EXPECT_TRUE(parsed.errors.empty()) << parsed.errors.front().Render();
  return std::move(parsed.rules);
}

std::string RandomRules(RandomPolicy& random, std::size_t count) {
  std::string text;
  while (count > 0) {
    const std::string line = std::to_string(1 + random.Below(4)) + " " + random.Pattern() + "\n";
    if (!Parse(line, "t", nullptr).errors.empty()) continue;
    text += line;
    --count;
  }
  return text;
}

TEST(Automaton, AgreesWithARuleByRuleMatch) {
  RandomPolicy random(1);
  for (int round = 0; round < 300; ++round) {
    const std::string text = RandomRules(random, 1 + random.Below(60));
    const auto policy = PolicyOf(text);
    for (int i = 0; i < 60; ++i) {
      const std::string path = random.Path();
      for (const bool is_dir : {false, true}) {
        ASSERT_EQ(policy->DecisionFor(path, is_dir), ByTheRules(*policy, path, is_dir)) << path << "\n" << text;
      }
      ASSERT_EQ(policy->DecisionOf(StateAt(*policy, path)), ByTheRules(*policy, path, true)) << path << "\n" << text;
    }
  }
}

// With this many rules, most directories have more rules pending than a step works out each time.
TEST(Automaton, AgreesWithARuleByRuleMatchWhereStepsAreCached) {
  RandomPolicy random(6);
  for (int round = 0; round < 15; ++round) {
    const std::string text = RandomRules(random, 400);
    const auto policy = PolicyOf(text);
    for (int i = 0; i < 300; ++i) {
      const std::string path = random.Path();
      for (const bool is_dir : {false, true}) {
        ASSERT_EQ(policy->DecisionFor(path, is_dir), ByTheRules(*policy, path, is_dir)) << path << "\n" << text;
      }
    }
  }
}

TEST(Automaton, NamesThatMatchTheSameRulesShareOneState) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "3 /home/*/.cache/app" + std::to_string(i) + "/\n";
  const auto policy = PolicyOf(text);
  const State first = StateAt(*policy, "home/first/.cache");
  const Policy::Size before = policy->MemoryUsed();
  for (int i = 0; i < 10000; ++i) EXPECT_EQ(StateAt(*policy, "home/user" + std::to_string(i) + "/.cache"), first);
  EXPECT_EQ(policy->MemoryUsed().states, before.states);
  EXPECT_EQ(policy->MemoryUsed().bytes, before.bytes);
}

// A step costs about the same with few rules and with many. The test takes the minimum of several
// rounds, so that a busy machine does not count.
TEST(Automaton, AStepWithFiveThousandRulesCostsLessThanThreeWithFive) {
  const auto cost = [](std::size_t rules) {
    const auto policy = PolicyOf(RulesFor(Kind::kLiteral, rules));
    const std::vector<std::string> paths = PathsFor(rules);
    auto least = std::chrono::nanoseconds::max();
    int tier = 0;
    for (int round = 0; round < 12; ++round) {
      const auto start = std::chrono::steady_clock::now();
      for (const std::string& path : paths) tier += NumberOf(policy->DecisionFor(path, false).tier);
      least = std::min<std::chrono::nanoseconds>(least, std::chrono::steady_clock::now() - start);
    }
    EXPECT_GT(tier, 0);
    return least;
  };
  const auto few = cost(5);
  const auto many = cost(5000);
  // Under a sanitizer the checks cost more than the steps.
  EXPECT_LT(many, (kInstrumented ? 10 : 3) * few);
}

TEST(Automaton, AMemoryLimitDoesNotChangeTheAnswers) {
  RandomPolicy random(2);
  for (int round = 0; round < 100; ++round) {
    const std::string text = RandomRules(random, 1 + random.Below(60));
    const Policy roomy(RulesOf(text));
    const Policy tight(RulesOf(text), Limits{random.Below(2000)});
    for (int i = 0; i < 60; ++i) {
      const std::string path = random.Path();
      const std::string other = random.Path();
      ASSERT_EQ(tight.DecisionFor(path, false), roomy.DecisionFor(path, false)) << path << "\n" << text;
      ASSERT_EQ(tight.DecisionOf(StateAt(tight, path)), roomy.DecisionOf(StateAt(roomy, path))) << path << "\n" << text;
      ASSERT_EQ(StateAt(tight, path), StateAt(tight, path));
      ASSERT_EQ(tight.Equivalent(StateAt(tight, path), StateAt(tight, other)),
                roomy.Equivalent(StateAt(roomy, path), StateAt(roomy, other)))
          << path << " and " << other << "\n"
          << text;
    }
  }
}

TEST(Automaton, PatternsWithUnboundedStatesStayWithinTheMemoryLimit) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += "4 /x/**/*" + std::to_string(i) + "*/**/z" + std::to_string(i) + "\n";
  constexpr std::size_t kRoom = 1 << 20;
  const Policy policy(RulesOf(text), Limits{kRoom});
  const std::size_t before = policy.MemoryUsed().bytes;
  State state = policy.Step(policy.Root(), "x");
  std::vector<State> open{state};
  for (int i = 0; i < 20000; ++i) {
    // Each directory of the tree adds its own rules to the pending ones.
    state = policy.Step(open[static_cast<std::size_t>(i) / 3], "d" + std::to_string(i % 400) + "_" + std::to_string(i));
    open.push_back(state);
  }
  EXPECT_EQ(policy.Classify(open[100], "z399", false).tier, policy.DecisionOf(policy.Step(open[100], "z399")).tier);
  const Policy::Size size = policy.MemoryUsed();
  EXPECT_GT(size.folded, 0u);
  EXPECT_LT(size.bytes - before, kRoom * 2 + size.folded * 256);
}

TEST(Automaton, NamesWithoutAMatchMakeNoStates) {
  for (const std::size_t room : {std::size_t{0}, std::size_t{1} << 26}) {
    const Policy policy(RulesOf("4 /x/**/a/**/z\n3 /x/**/y\n2 /x/a*/b\n1 *.c\n"), Limits{room});
    const State x = policy.Step(policy.Root(), "x");
    const State deep = policy.Step(policy.Step(x, "first"), "second");
    const std::size_t before = policy.MemoryUsed().states;
    for (int i = 0; i < 10000; ++i) {
      const State one = policy.Step(x, "n" + std::to_string(i));
      (void)policy.Step(policy.Step(one, "m"), "o" + std::to_string(i));
    }
    EXPECT_LE(policy.MemoryUsed().states, before + 1);
    EXPECT_EQ(policy.Step(deep, "anything"), deep);
  }
}

TEST(Automaton, AStepCostsTheSameAtAnyDepth) {
  // A deep path has few states: the work of a step depends on its state alone.
  std::string text = "4 /";
  for (int i = 0; i < 200; ++i) text += "**/a/";
  const auto policy = PolicyOf(text + "b\n3 **/a/**/b\n");
  State state = policy->Root();
  for (int i = 0; i < 2000; ++i) state = policy->Step(state, "a");
  EXPECT_EQ(NumberOf(policy->Classify(state, "b", false).tier), 3);
  EXPECT_LE(policy->MemoryUsed().states, 3u + 1 + 210);
  EXPECT_EQ(NumberOf(policy->Classify(policy->Root(), "b", false).tier), 2);
}

TEST(Automaton, DeepAnyDepthPatternsMatchInFewSteps) {
  std::string pattern = "/";
  for (int i = 0; i < 500; ++i) pattern += "**/a*/";
  std::string path;
  for (int i = 0; i < 499; ++i) path += "aa/";
  const auto policy = PolicyOf("4 " + pattern + "b\n");
  EXPECT_EQ(TierOf(*policy, path + "b"), 2);
  EXPECT_EQ(TierOf(*policy, path + "a/b"), 4);
}

TEST(Automaton, ManyThreadsAgree) {
  RandomPolicy random(3);
  const std::string text = RandomRules(random, 80);
  std::vector<std::string> paths;
  for (int i = 0; i < 3000; ++i) paths.push_back(random.Path());
  for (const std::size_t room : {std::size_t{3000}, std::size_t{1} << 26}) {
    const Policy shared(RulesOf(text), Limits{room});
    const Policy alone(RulesOf(text));
    std::vector<std::vector<State>> states(4);
    std::vector<std::thread> threads;
    for (auto& mine : states) {
      threads.emplace_back([&] {
        for (const std::string& path : paths) mine.push_back(StateAt(shared, path));
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < paths.size(); ++i) {
      EXPECT_EQ(shared.DecisionOf(states[0][i]), alone.DecisionOf(StateAt(alone, paths[i]))) << paths[i];
      for (const auto& other : states) EXPECT_TRUE(shared.Equivalent(other[i], states[0][i])) << paths[i];
    }
  }
}

TEST(Equivalent, HoldsIfNoRuleDistinguishesThePlaces) {
  const auto policy = PolicyOf("3 /var/cache/\n4 *.o\n1 /etc/\n2 /etc/ssl/private/\n3 /home/*/.cache/\n");
  const auto same = [&](const char* a, const char* b) { return policy->Equivalent(StateAt(*policy, a), StateAt(*policy, b)); };
  EXPECT_TRUE(same("srv/a", "srv/b"));
  EXPECT_TRUE(same("srv/a", "opt/b/c/d"));
  EXPECT_TRUE(same("etc/a", "etc/b/c"));
  EXPECT_TRUE(same("home/ann", "home/bob"));
  EXPECT_FALSE(same("home/ann", "home/ann/sub"));  // .cache beneath the first is another tier
  EXPECT_FALSE(same("srv/a", "etc/a"));
  EXPECT_FALSE(same("etc", "etc/a"));  // only the first has ssl/private beneath it
  EXPECT_FALSE(same("srv", "home"));
  EXPECT_TRUE(same("home/ann/.cache", "home/bob/.cache/c"));
  // Both are tier 3, but only beneath the first does `*.o` win.
  EXPECT_FALSE(same("var/cache/a", "home/ann/.cache/b"));
}

TEST(Equivalent, ConsidersTheRulesBetweenTheTwoDecidingOnes) {
  // Both places are tier 3. Beneath the first *.o can still win; beneath the second it cannot.
  const auto tells = PolicyOf("3 /a/\n4 *.o\n3 /b/\n");
  EXPECT_FALSE(tells->Equivalent(StateAt(*tells, "a"), StateAt(*tells, "b")));
  const auto silent = PolicyOf("3 /a/\n3 *.o\n3 /b/\n");
  EXPECT_TRUE(silent->Equivalent(StateAt(*silent, "a"), StateAt(*silent, "b")));
  const auto anchored = PolicyOf("3 /a/\n4 /a/x\n3 /b/\n");
  EXPECT_FALSE(anchored->Equivalent(StateAt(*anchored, "a"), StateAt(*anchored, "b")));
  EXPECT_TRUE(anchored->Equivalent(StateAt(*anchored, "a/y"), StateAt(*anchored, "b")));
}

TEST(Equivalent, DoesNotHoldIfAnyPathDistinguishesThePlaces) {
  RandomPolicy random(4);
  int claimed = 0;
  for (int round = 0; round < 300; ++round) {
    const std::string text = RandomRules(random, 1 + random.Below(8));
    const auto policy = PolicyOf(text);
    for (int i = 0; i < 20; ++i) {
      const std::string a = random.Path();
      const std::string b = random.Path();
      if (!policy->Equivalent(StateAt(*policy, a), StateAt(*policy, b))) continue;
      ++claimed;
      EXPECT_TRUE(policy->Equivalent(StateAt(*policy, b), StateAt(*policy, a)));
      for (int j = 0; j < 20; ++j) {
        const std::string below = random.Path();
        ASSERT_EQ(TierOf(*policy, a + "/" + below), TierOf(*policy, b + "/" + below)) << a << ", " << b << ": " << below << "\n" << text;
      }
    }
  }
  EXPECT_GT(claimed, 1000);
}

}  // namespace
}  // namespace tierfs::policy::testing
