// The compiled form of the rules; see policy.h.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/policy.h"

namespace tierfs::policy {

// A component of a rule that is waited for.
struct Position {
  std::uint32_t rule;
  std::uint32_t component;
  bool operator==(const Position&) const = default;
  auto operator<=>(const Position&) const = default;
};

// Finds the positions whose glob matches a name. Sorted so that the highest rule comes first.
class NameIndex {
 public:
  NameIndex(const std::vector<Rule>& rules, const std::vector<Position>& positions);

  // Calls `matched(position)` for each position of a rule above `floor` whose glob matches, in no particular order. `floor` may rise
  // through the reference while it runs.
  template <typename Matched>
  void Find(const std::vector<Rule>& rules, std::string_view name, const std::int64_t& floor, Matched matched) const;

  [[nodiscard]] std::size_t Bytes() const;

 private:
  using Bucket = std::vector<Position>;  // highest rule first
  struct ByText {
    std::unordered_map<std::string_view, Bucket> buckets;
    std::vector<std::size_t> lengths;  // of the keys, each once
  };
  ByText literals_;
  ByText suffixes_;  // `*` and a literal: the suffix decides
  Bucket globs_;     // everything else
};

class Automaton {
 public:
  explicit Automaton(const std::vector<Rule>& rules);

  [[nodiscard]] State Root() const { return State(root_); }
  [[nodiscard]] State Step(State from, std::string_view name) const;
  [[nodiscard]] Decision Classify(State from, std::string_view name, bool is_dir) const;
  [[nodiscard]] Decision DecisionOf(State state) const { return DecisionAt(Of(state).best); }
  [[nodiscard]] bool Equivalent(State a, State b) const;
  [[nodiscard]] std::vector<RuleId> MayChangeBelow(State state) const;
  [[nodiscard]] Policy::Size MemoryUsed() const;

 private:
  struct StateData {
    std::int64_t best = -1;            // the highest rule that matched; -1 for none
    std::vector<Position> positions;   // sorted; of rules above `best` only
    std::unique_ptr<NameIndex> index;  // over the positions; absent when there are few
  };

  [[nodiscard]] static const StateData& Of(State state) { return *static_cast<const StateData*>(state.data_); }
  [[nodiscard]] Decision DecisionAt(std::int64_t best) const;
  [[nodiscard]] const StateData* Intern(std::int64_t best, std::vector<Position> positions) const;
  // The best rule after `name`, given what `from` has. `next` (when wanted) collects the positions that go on.
  [[nodiscard]] std::int64_t Advance(const StateData& from, std::string_view name, bool is_dir,
                                     std::vector<Position>* next) const;
  [[nodiscard]] bool Ends(Position position) const { return position.component + 1 == rules_[position.rule].components.size(); }
  // The position waited for after `at`, with `**` passed.
  void Follow(Position at, std::vector<Position>& out) const;

  const std::vector<Rule>& rules_;
  std::vector<Position> floating_;  // waited for in every directory: the first component of what is not anchored
  std::unique_ptr<NameIndex> floating_index_;
  std::vector<std::unique_ptr<StateData>> bare_;  // by best + 1: nothing but floating rules can apply
  const StateData* root_ = nullptr;

  mutable std::mutex mutex_;
  mutable std::deque<std::unique_ptr<StateData>> states_;
  mutable std::unordered_multimap<std::size_t, const StateData*> interned_;
};

}  // namespace tierfs::policy
