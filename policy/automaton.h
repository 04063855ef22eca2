// The compiled form of the rules; see policy.h.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/name_index.h"
#include "policy/policy.h"

namespace tierfs::policy {

// States are kept in a hash table that only ever grows: readers follow atomic pointers, a writer adds with one
// compare-and-swap, nothing is freed before the automaton. So there are no locks.
//
// Hostile patterns (`/x/**/a*/**/z`, many of them) have a set of states without useful bound. Past a budget a new state
// is *folded*: it holds its parent and its name alone, and is worked out again from the nearest whole ancestor each
// time it is used. Slower, the same answers, and a few dozen bytes for a directory.
class Automaton {
 public:
  Automaton(const std::vector<Rule>& rules, std::size_t budget);
  ~Automaton();
  Automaton(const Automaton&) = delete;
  Automaton& operator=(const Automaton&) = delete;

  [[nodiscard]] State Root() const noexcept { return State(root_); }
  [[nodiscard]] State Step(State from, std::string_view name) const;
  [[nodiscard]] Decision Classify(State from, std::string_view name, bool is_dir) const noexcept;
  [[nodiscard]] Decision DecisionOf(State state) const noexcept { return DecisionAt(Of(state).best); }
  [[nodiscard]] bool Equivalent(State a, State b) const;
  [[nodiscard]] std::vector<RuleId> MayChangeBelow(State state) const;
  [[nodiscard]] Policy::Size MemoryUsed() const;

 private:
  struct Folded;
  struct StateData {
    std::int64_t best = -1;            // the highest rule that matched; -1 for none
    std::vector<Position> positions;   // sorted; of rules above `best` only
    std::vector<Position> lasting;     // those of them behind a `**`, which every directory beneath waits for too
    std::unique_ptr<NameIndex> index;  // over the positions; absent when there are few
    std::unique_ptr<Folded> folded;    // then there are no positions here
    std::size_t hash = 0;
    const StateData* chained = nullptr;                   // the next in the same slot of the table
    mutable std::atomic<const StateData*> idle{nullptr};  // the child whose name matches nothing, once it was met
  };
  struct Folded {
    const StateData* parent;
    std::string name;
  };
  using Slot = std::atomic<const StateData*>;

  [[nodiscard]] static const StateData& Of(State state) noexcept { return *static_cast<const StateData*>(state.data_); }
  [[nodiscard]] Decision DecisionAt(std::int64_t best) const noexcept;
  // The best rule after `name`, given what `from` has. `next` (when wanted) collects the positions that go on, but for
  // the lasting ones. Allocates only for `next`.
  [[nodiscard]] std::int64_t Advance(const StateData& from, std::string_view name, bool is_dir, std::vector<Position>* next) const;
  [[nodiscard]] bool Ends(Position position) const noexcept { return position.component + 1 == rules_[position.rule].components.size(); }
  [[nodiscard]] bool Lasts(Position position) const noexcept {
    return position.component > 0 && rules_[position.rule].components[position.component - 1].any_depth;
  }
  // The position waited for after `at`, with `**` passed.
  [[nodiscard]] Position After(Position at) const noexcept;
  // Puts the positions after a step in order: with the lasting ones, without those that can no longer win.
  void Complete(const StateData& from, std::int64_t best, std::vector<Position>& next) const;
  // What a folded state stands for.
  [[nodiscard]] std::unique_ptr<StateData> Unfold(const StateData& folded) const;
  // Calls `use` with a state that has its positions.
  template <typename Use>
  auto WithWhole(const StateData& state, Use use) const {
    return state.folded ? use(*Unfold(state)) : use(state);
  }
  [[nodiscard]] std::unique_ptr<StateData> Make(std::int64_t best, std::vector<Position> positions) const;
  // The state with these contents, made when it is not known: whole within the budget, else folded under (`parent`,
  // `name`).
  [[nodiscard]] const StateData* Intern(std::int64_t best, std::vector<Position> positions, const StateData& parent,
                                        std::string_view name) const;
  template <typename Same>
  [[nodiscard]] const StateData* Known(std::size_t hash, Same same) const;
  // Adds it, or finds that another thread was faster.
  template <typename Same>
  [[nodiscard]] const StateData* Add(std::unique_ptr<StateData> data, std::size_t hash, Same same) const;
  [[nodiscard]] Slot& SlotOf(std::size_t hash) const noexcept;

  const std::vector<Rule>& rules_;
  const std::size_t budget_;
  std::vector<Position> floating_;  // waited for in every directory: the first component of what is not anchored
  std::unique_ptr<NameIndex> floating_index_;
  std::vector<StateData> bare_;  // by best + 1: nothing but floating rules can apply
  std::unique_ptr<StateData> root_data_;
  const StateData* root_ = nullptr;

  const std::unique_ptr<Slot[]> slots_;
  mutable std::atomic<std::size_t> spent_{0};  // bytes, about, of whole states in the table
};

}  // namespace tierfs::policy
