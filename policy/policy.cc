#include "policy/policy.h"

#include <algorithm>

#include "policy/automaton.h"

namespace tierfs::policy {
namespace {

// Takes the next component off a path; empty when none is left.
std::string_view NextComponent(std::string_view& path) {
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  const std::string_view component = path.substr(0, path.find('/'));
  path.remove_prefix(component.size());
  while (!path.empty() && path.front() == '/') path.remove_prefix(1);
  return component;
}

}  // namespace

Policy::Policy(std::vector<Rule> rules) : rules_(std::move(rules)), automaton_(std::make_unique<Automaton>(rules_)) {}
Policy::~Policy() = default;

State Policy::Root() const { return automaton_->Root(); }
State Policy::Step(State directory, std::string_view name) const { return automaton_->Step(directory, name); }
Decision Policy::Classify(State directory, std::string_view name, bool is_dir) const {
  return automaton_->Classify(directory, name, is_dir);
}
Decision Policy::DecisionOf(State directory) const { return automaton_->DecisionOf(directory); }
bool Policy::Equivalent(State a, State b) const { return automaton_->Equivalent(a, b); }
Policy::Size Policy::MemoryUsed() const { return automaton_->MemoryUsed(); }

Decision Policy::DecisionFor(std::string_view path, bool is_dir) const {
  State state = Root();
  for (;;) {
    const std::string_view name = NextComponent(path);
    if (name.empty()) return DecisionOf(state);
    if (path.empty()) return Classify(state, name, is_dir);
    state = Step(state, name);
  }
}

Policy::Explanation Policy::Explain(std::string_view path, bool is_dir) const {
  Explanation explanation;
  // A rule's own automaton says where along the path it matches: what overrode it does not count here.
  for (std::uint32_t number = 0; number < rules_.size(); ++number) {
    std::vector<Rule> alone{rules_[number]};
    const Automaton automaton(alone);
    State state = automaton.Root();
    std::string_view rest = path;
    std::string at;
    for (std::string_view name = NextComponent(rest); !name.empty(); name = NextComponent(rest)) {
      at += (at.empty() ? "" : "/") + std::string(name);
      if (!(automaton.Classify(state, name, !rest.empty() || is_dir).rule == kNoRule)) {
        explanation.matches.push_back(Match{RuleId{number}, at});
        break;
      }
      state = automaton.Step(state, name);
    }
  }
  std::reverse(explanation.matches.begin(), explanation.matches.end());
  explanation.decision = DecisionFor(path, is_dir);
  if (is_dir) {
    State state = Root();
    std::string_view rest = path;
    for (std::string_view name = NextComponent(rest); !name.empty(); name = NextComponent(rest)) state = Step(state, name);
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
