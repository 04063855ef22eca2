// Runs any rules on any paths. At each step the automaton has to agree with a rule-by-rule match,
// with much memory and with little, and keep the promises of its header. An input is a policy, the
// byte 0x1C, then one path a line; a trailing slash makes it a directory.
#include <algorithm>
#include <vector>

#include "policy/lint.h"
#include "tests/fuzz/require.h"
#include "tests/policy/reference.h"

namespace tierfs::policy::testing {
namespace {

using tierfs::testing::Require;

constexpr std::size_t kMaxPaths = 12;
constexpr std::size_t kMaxPairs = 24;  // up to this many rules, each is compared with each

std::vector<std::string_view> Paths(std::string_view text) {
  std::vector<std::string_view> paths;
  while (!text.empty() && paths.size() < kMaxPaths) {
    const std::string_view path = text.substr(0, text.find('\n'));
    paths.push_back(path);
    text.remove_prefix(std::min(text.size(), path.size() + 1));
  }
  return paths;
}

bool IsDir(std::string_view path) { return path.ends_with('/'); }

void CheckEachStep(const Policy& policy, const Policy& tight, std::string_view path) {
  State state = policy.Root();
  State tight_state = tight.Root();
  std::string above;
  for (const std::string_view name : ComponentsOf(path)) {
    const std::string here = above + "/" + std::string(name);
    const Decision file = ByTheRules(policy, here, false);
    const Decision directory = ByTheRules(policy, here, true);
    Require(policy.Classify(state, name, false) == file, "a file's class is what the rules say", here);
    Require(policy.Classify(state, name, true) == directory, "a directory's class is what the rules say", here);
    Require(tight.Classify(tight_state, name, false) == file, "a file's class with little memory is the same", here);
    Require(tight.Classify(tight_state, name, true) == directory, "a directory's class with little memory is the same", here);
    state = policy.Step(state, name);
    tight_state = tight.Step(tight_state, name);
    Require(policy.DecisionOf(state) == directory, "a state says what the rules say", here);
    Require(tight.DecisionOf(tight_state) == directory, "a state with little memory says the same", here);
    Require(StateAt(policy, here) == state && StateAt(tight, here) == tight_state, "the same path has the same state", here);
    above = here;
  }
}

void CheckExplanation(const Policy& policy, std::string_view path) {
  const auto explanation = policy.Explain(path, IsDir(path));
  const std::vector<std::string_view> names = ComponentsOf(path);
  Require(explanation.decision == ByTheRules(policy, path, IsDir(path)), "the explained decision is the decision", path);
  auto match = explanation.matches.begin();
  for (std::uint32_t rule = static_cast<std::uint32_t>(policy.rules().size()); rule-- > 0;) {
    if (!FirstMatch(policy.rules()[rule], names, IsDir(path))) continue;
    Require(match != explanation.matches.end() && match->rule == RuleId{rule}, "each rule that matches is explained, highest first", path);
    Require(FirstMatch(policy.rules()[rule], ComponentsOf(match->at), true).has_value(), "a rule matches where it is said to", match->at);
    ++match;
  }
  Require(match == explanation.matches.end(), "only rules that match are explained", path);
}

// A rule can give an entry beneath a directory another tier only if it is among the announced
// rules.
void CheckWhatMayChangeBelow(const Policy& policy, std::string_view directory, const std::vector<std::string_view>& below) {
  const State state = StateAt(policy, directory);
  const auto announced = policy.Explain(directory, true).may_change_below;
  for (const std::string_view path : below) {
    if (ComponentsOf(path).empty()) continue;
    const Decision decision = policy.DecisionFor(std::string(directory) + "/" + std::string(path), IsDir(path));
    Require(
        decision.tier == policy.DecisionOf(state).tier || std::find(announced.begin(), announced.end(), decision.rule) != announced.end(),
        "a rule that decides beneath is announced", directory);
  }
}

void CheckEquivalence(const Policy& policy, const Policy& tight, std::string_view a, std::string_view b,
                      const std::vector<std::string_view>& below) {
  const bool equivalent = policy.Equivalent(StateAt(policy, a), StateAt(policy, b));
  Require(policy.Equivalent(StateAt(policy, b), StateAt(policy, a)) == equivalent, "equivalence has no direction", a);
  Require(tight.Equivalent(StateAt(tight, a), StateAt(tight, b)) == equivalent, "equivalence with little memory is the same", a);
  if (!equivalent) return;
  Require(policy.DecisionOf(StateAt(policy, a)).tier == policy.DecisionOf(StateAt(policy, b)).tier, "equivalent places have one tier", a);
  for (const std::string_view path : below) {
    if (ComponentsOf(path).empty()) continue;
    const auto tier_beneath = [&](std::string_view place) {
      return policy.DecisionFor(std::string(place) + "/" + std::string(path), IsDir(path)).tier;
    };
    Require(tier_beneath(a) == tier_beneath(b), "no path beneath tells equivalent places apart", path);
  }
}

void CheckCovers(const Policy& policy, const std::vector<std::string_view>& paths) {
  const std::size_t rules = std::min(policy.rules().size(), kMaxPairs);
  for (std::size_t later = 0; later < rules; ++later) {
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      if (!Covers(policy.rules()[later], policy.rules()[earlier])) continue;
      for (const std::string_view path : paths) {
        const std::vector<std::string_view> names = ComponentsOf(path);
        Require(!FirstMatch(policy.rules()[earlier], names, IsDir(path)) || FirstMatch(policy.rules()[later], names, IsDir(path)),
                "what covers a rule matches all that it matches", path);
      }
    }
  }
}

void CheckGlobs(const Policy& policy, std::string_view path) {
  for (const Rule& rule : policy.rules()) {
    for (const Component& component : rule.components) {
      if (component.any_depth) continue;
      for (const std::string_view name : ComponentsOf(path)) {
        std::size_t steps = 0;
        (void)component.glob.Matches(name, &steps);
        Require(steps <= component.glob.text().size() * name.size(), "a glob takes few steps", component.glob.text());
      }
    }
  }
}

void CheckPolicyOnPaths(std::string_view input) {
  const std::string_view text = input.substr(0, input.find('\x1C'));
  const std::vector<std::string_view> paths = Paths(input.substr(std::min(input.size(), text.size() + 1)));
  ParsedRules parsed = ParseRules(text, "t", nullptr);
  if (!parsed.errors.empty()) return;
  const Policy policy(parsed.rules);
  const Policy tight(std::move(parsed.rules), Limits{input.size() % 7 * 300});
  for (const std::string_view path : paths) {
    CheckEachStep(policy, tight, path);
    CheckExplanation(policy, path);
    CheckWhatMayChangeBelow(policy, path, paths);
    CheckGlobs(policy, path);
    for (const std::string_view other : paths) CheckEquivalence(policy, tight, path, other, paths);
  }
  CheckCovers(policy, paths);
}

}  // namespace
}  // namespace tierfs::policy::testing

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tierfs::policy::testing::CheckPolicyOnPaths({reinterpret_cast<const char*>(data), size});
  return 0;
}
