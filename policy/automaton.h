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

// States, and steps that are dear to work out, are kept in hash tables that only ever grow: readers
// follow atomic pointers, a writer adds with one compare-and-swap, nothing is freed before the
// automaton. So there are no locks.
//
// Where a step leads hangs on the groups of positions that the name matches, not on the name
// itself: `/home/*/x` and five hundred rules more beneath every user's home are worked out for the
// first user and found for the next.
//
// Hostile patterns (`/x/**/a*/**/z`, many of them) have a set of states without useful bound. Past
// a budget a new state is *folded*: it holds its parent and its name alone, and is worked out again
// from the nearest whole ancestor each time it is used. Slower, the same answers, and a few dozen
// bytes for a directory.
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
  // The groups that a name matched, by number; see Meet. Nothing is remembered of a step that meets
  // more.
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
  // Calls `matched(group, number, positions)` for each group of `from`, and of what is waited for
  // everywhere, with a rule above `floor` whose pattern matches; `positions` points at the group's
  // first. May repeat a group.
  template <typename Matched>
  void Meet(const StateData& from, std::string_view name, const std::int64_t& floor, Matched matched) const;
  // The positions after a step from `from`, which raises `best`.
  [[nodiscard]] std::vector<Position> Next(const StateData& from, std::string_view name, std::int64_t& best) const;
  [[nodiscard]] const StateData* Remembered(const StateData& from, const Met& met, std::size_t hash) const;
  void Remember(const StateData& from, const Met& met, std::size_t hash, const StateData* to) const;
  // Where a step from `whole` leads, which is `parent` itself or what that stands for. `dear`: it
  // took many positions to say so.
  [[nodiscard]] const StateData* Lead(const StateData& whole, const StateData& parent, std::string_view name, bool& dear) const;
  [[nodiscard]] bool Lasts(Position position) const noexcept {
    return position.component > 0 && rules_[position.rule].components[position.component - 1].any_depth;
  }
  // The position waited for after `at`, with `**` passed.
  [[nodiscard]] Position After(Position at) const noexcept;
  // What a folded state stands for.
  [[nodiscard]] std::unique_ptr<StateData> Unfold(const StateData& folded) const;
  // Calls `use` with a state that has its positions.
  template <typename Use>
  auto WithWhole(const StateData& state, Use use) const {
    return state.folded ? use(*Unfold(state)) : use(state);
  }
  [[nodiscard]] std::unique_ptr<StateData> Make(std::int64_t best, std::vector<Position> positions) const;
  // The state with these contents, made when it is not known: whole within the budget, else folded
  // under (`parent`, `name`).
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
  const std::unique_ptr<std::atomic<const Transition*>[]> transitions_;
  mutable std::atomic<std::size_t> spent_{0};  // bytes, about, of whole states and of transitions in the tables
};

}  // namespace tierfs::policy
