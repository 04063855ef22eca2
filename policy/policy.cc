#include "policy/policy.h"

#include "policy/automaton.h"
#include "policy/match.h"

namespace tierfs::policy {

Policy::Policy(std::vector<Rule> rules, Limits limits)
    : rules_(std::move(rules)), automaton_(std::make_unique<Automaton>(rules_, limits.state_bytes)) {}
Policy::~Policy() = default;

State Policy::Root() const noexcept { return automaton_->Root(); }
State Policy::Step(State directory, std::string_view name) const { return automaton_->Step(directory, name); }
Decision Policy::Classify(State directory, std::string_view name, bool is_dir) const noexcept {
  return automaton_->Classify(directory, name, is_dir);
}
Decision Policy::DecisionOf(State directory) const noexcept { return automaton_->DecisionOf(directory); }
bool Policy::Equivalent(State a, State b) const { return automaton_->Equivalent(a, b); }
Policy::Size Policy::MemoryUsed() const { return automaton_->MemoryUsed(); }

Decision Policy::DecisionFor(std::string_view path, bool is_dir) const {
  State state = Root();
  const std::vector<std::string_view> names = ComponentsOf(path);
  if (names.empty()) return DecisionOf(state);
  for (std::size_t i = 0; i + 1 < names.size(); ++i) state = Step(state, names[i]);
  return Classify(state, names.back(), is_dir);
}

Policy::Explanation Policy::Explain(std::string_view path, bool is_dir) const {
  Explanation explanation;
  const std::vector<std::string_view> names = ComponentsOf(path);
  for (std::uint32_t number = static_cast<std::uint32_t>(rules_.size()); number-- > 0;) {
    const auto depth = FirstMatch(rules_[number], names, is_dir);
    if (!depth) continue;
    std::string at;
    for (std::size_t i = 0; i < *depth; ++i) at += (i == 0 ? "" : "/") + std::string(names[i]);
    explanation.matches.push_back(Match{RuleId{number}, std::move(at)});
  }
  explanation.decision = DecisionFor(path, is_dir);
  if (is_dir) {
    State state = Root();
    for (const std::string_view name : names) state = Step(state, name);
    explanation.may_change_below = automaton_->MayChangeBelow(state);
  }
  return explanation;
}

ParseResult Parse(std::string_view text, const std::string& file, const IncludeResolver& resolver) {
  ParsedRules parsed = ParseRules(text, file, resolver);
  ParseResult result;
  result.errors = std::move(parsed.errors);
  result.suspicious = std::move(parsed.suspicious);
  if (result.errors.empty()) result.policy = std::make_shared<const Policy>(std::move(parsed.rules));
  return result;
}

}  // namespace tierfs::policy
