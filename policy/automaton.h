// The compiled form of the rules; see policy.h.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policy/name_index.h"
#include "policy/policy.h"

namespace tierfs::policy {

// Owns the states and the transitions. States, and steps that are expensive to compute, are kept in
// hash tables that only ever grow. Readers follow atomic pointers; a writer adds with one
// compare-and-swap; nothing is freed before the automaton. No locks are needed.
//
// The target of a step depends on the groups of positions that the name matches, not on the name
// itself. For example, `/home/*/x` and five hundred more rules beneath every user's home are
// evaluated for the first user and looked up for the next.
//
// Hostile patterns (many of the form `/x/**/a*/**/z`) produce a set of states without useful bound.
// Past a budget a new state is *folded*: it holds only its parent and its name, and is computed
// again from the nearest whole ancestor at each use. The answers are the same, but slower, at a few
// dozen bytes for each directory.
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
    std::int64_t best = -1;           // the highest rule that matched; -1 for none
    std::vector<Position> positions;  // sorted; only of rules above `best`
    // The positions among these that stand behind a `**`. Every directory beneath waits for them
    // too.
    std::vector<Position> lasting;
    std::unique_ptr<NameIndex> index;  // over the positions; null if there are few
    std::unique_ptr<Folded> folded;    // if set, `positions` is empty
    std::size_t hash = 0;
    const StateData* chained = nullptr;  // the next in the same slot of the table
    // The child for a name that matches nothing, once such a name was met.
    mutable std::atomic<const StateData*> idle{nullptr};
  };
  struct Folded {
    const StateData* parent;
    std::string name;
  };
  using Slot = std::atomic<const StateData*>;
  // The numbers of the groups that a name matched; see Meet. A step that meets more groups than fit
  // is not remembered.
  class Met {
   public:
    void Add(std::uint32_t group) {
      if (count_ < groups_.size()) groups_[count_] = group;
      ++count_;
    }
    void Sort();
    [[nodiscard]] bool Empty() const { return count_ == 0; }
    [[nodiscard]] bool Overflowed() const { return count_ > groups_.size(); }
    [[nodiscard]] const std::uint32_t* begin() const { return groups_.data(); }
    [[nodiscard]] const std::uint32_t* end() const { return groups_.data() + std::min(count_, groups_.size()); }

   private:
    std::array<std::uint32_t, 16> groups_{};
    std::size_t count_ = 0;
  };
  struct Transition {
    const StateData* from;
    std::vector<std::uint32_t> met;
    const StateData* to;
    const Transition* chained;
  };

  [[nodiscard]] static const StateData& Of(State state) noexcept { return *static_cast<const StateData*>(state.data_); }
  [[nodiscard]] Decision DecisionAt(std::int64_t best) const noexcept;
  // Calls `matched(group, number, positions)` for each matching group of `from` and of the floating
  // positions that has a rule above `floor`. `positions` points at the group's first position. A
  // group may be repeated.
  template <typename Matched>
  void Meet(const StateData& from, std::string_view name, const std::int64_t& floor, Matched matched) const;
  // Returns the positions after a step from `from`. Raises `best`.
  [[nodiscard]] std::vector<Position> Next(const StateData& from, std::string_view name, std::int64_t& best) const;
  [[nodiscard]] const StateData* Remembered(const StateData& from, const Met& met, std::size_t hash) const;
  void Remember(const StateData& from, const Met& met, std::size_t hash, const StateData* to) const;
  // Returns the target of a step from `whole`, which is `parent` itself or its unfolded form. Sets
  // `dear` if many positions had to be tried.
  [[nodiscard]] const StateData* Lead(const StateData& whole, const StateData& parent, std::string_view name, bool& dear) const;
  [[nodiscard]] bool Lasts(Position position) const noexcept {
    return position.component > 0 && rules_[position.rule].components[position.component - 1].any_depth;
  }
  // Returns the next position to wait for after `at`, past any `**`.
  [[nodiscard]] Position After(Position at) const noexcept;
  // Computes the whole form of a folded state.
  [[nodiscard]] std::unique_ptr<StateData> Unfold(const StateData& folded) const;
  // Calls `use` with the whole form of a state, unfolded if necessary.
  template <typename Use>
  auto WithWhole(const StateData& state, Use use) const {
    return state.folded ? use(*Unfold(state)) : use(state);
  }
  [[nodiscard]] std::unique_ptr<StateData> Make(std::int64_t best, std::vector<Position> positions) const;
  // Returns the state with these contents, and makes it if it is unknown. Within the budget a new
  // state is whole; past it, the state is folded under (`parent`, `name`).
  [[nodiscard]] const StateData* Intern(std::int64_t best, std::vector<Position> positions, const StateData& parent,
                                        std::string_view name) const;
  template <typename Same>
  [[nodiscard]] const StateData* Known(std::size_t hash, Same same) const;
  // Adds the state, or returns the one that another thread added first.
  template <typename Same>
  [[nodiscard]] const StateData* Add(std::unique_ptr<StateData> data, std::size_t hash, Same same) const;
  [[nodiscard]] Slot& SlotOf(std::size_t hash) const noexcept;

  const std::vector<Rule>& rules_;
  const std::size_t budget_;
  // Waited for in every directory: the first components of rules that are not anchored.
  std::vector<Position> floating_;
  std::unique_ptr<NameIndex> floating_index_;
  // Indexed by best + 1: states to which only floating rules can apply.
  std::vector<StateData> bare_;
  std::unique_ptr<StateData> root_data_;
  const StateData* root_ = nullptr;

  const std::unique_ptr<Slot[]> slots_;
  const std::unique_ptr<std::atomic<const Transition*>[]> transitions_;
  // Approximate bytes of whole states and of transitions in the tables.
  mutable std::atomic<std::size_t> spent_{0};
};

}  // namespace tierfs::policy
