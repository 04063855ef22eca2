#include "policy/automaton.h"

#include <algorithm>
#include <new>

namespace tierfs::policy {
namespace {

// Up to this many positions it is cheaper to try each than to build an index.
constexpr std::size_t kFew = 4;
constexpr std::size_t kSlots = 1 << 13;
// The approximate size of an index for each of its positions.
constexpr std::size_t kIndexBytes = 140;
// A step over more positions than this is remembered.
constexpr std::size_t kCheap = 8;
// These bits distinguish three kinds of group numbers: those of a state's index, those of a state
// without one (each position is then a group), and those of the floating positions.
constexpr std::uint32_t kSingle = 0x40000000;
constexpr std::uint32_t kFloating = 0x80000000;

std::size_t Mix(std::size_t hash, std::uint64_t value) { return hash ^ (value + 0x9E3779B97F4A7C15ULL + (hash << 6) + (hash >> 2)); }

std::size_t HashOf(std::int64_t best, const std::vector<Position>& positions) {
  std::size_t hash = static_cast<std::uint64_t>(best) * 0x9E3779B97F4A7C15ULL;
  for (const Position& position : positions) hash = Mix(hash, (std::uint64_t{position.rule} << 20) + position.component);
  return hash;
}

}  // namespace

Automaton::Automaton(const std::vector<Rule>& rules, std::size_t budget)
    : rules_(rules),
      budget_(budget),
      bare_(rules.size() + 1),
      slots_(new Slot[kSlots]()),
      transitions_(new std::atomic<const Transition*>[kSlots]()) {
  std::vector<Position> anchored;
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) {
    if (rules_[rule].components[0].any_depth) {
      floating_.push_back(Position{rule, 1});
    } else {
      anchored.push_back(Position{rule, 0});
    }
  }
  floating_index_ = std::make_unique<NameIndex>(rules_, floating_);
  for (std::size_t i = 0; i < bare_.size(); ++i) bare_[i].best = static_cast<std::int64_t>(i) - 1;
  root_data_ = Make(-1, std::move(anchored));
  root_ = root_data_.get();
}

Automaton::~Automaton() {
  for (std::size_t i = 0; i < kSlots; ++i) {
    for (const StateData* state = slots_[i].load(std::memory_order_relaxed); state != nullptr;) {
      const StateData* const next = state->chained;
      delete state;
      state = next;
    }
    for (const Transition* at = transitions_[i].load(std::memory_order_relaxed); at != nullptr;) {
      const Transition* const next = at->chained;
      delete at;
      at = next;
    }
  }
}

Decision Automaton::DecisionAt(std::int64_t best) const noexcept {
  if (best < 0) return Decision{};
  const auto rule = static_cast<std::uint32_t>(best);
  return Decision{rules_[rule].tier, RuleId{rule}};
}

Position Automaton::After(Position at) const noexcept {
  ++at.component;
  // The `**` itself may match no component.
  if (rules_[at.rule].components[at.component].any_depth) ++at.component;
  return at;
}

template <typename Matched>
void Automaton::Meet(const StateData& from, std::string_view name, const std::int64_t& floor, Matched matched) const {
  floating_index_->Find(rules_, name, floor, [&](const Group& group, std::uint32_t number) {
    matched(group, kFloating + number, &floating_index_->PositionAt(group.first));
  });
  if (from.index) {
    from.index->Find(rules_, name, floor,
                     [&](const Group& group, std::uint32_t number) { matched(group, number, &from.index->PositionAt(group.first)); });
    return;
  }
  for (std::size_t i = from.positions.size(); i-- > 0;) {
    const Position& position = from.positions[i];
    const Rule& rule = rules_[position.rule];
    if (std::int64_t{position.rule} <= floor) return;
    if (!rule.components[position.component].glob.Matches(name)) continue;
    Group group;
    group.Add(rule, position);
    group.last = 1;
    matched(group, kSingle + static_cast<std::uint32_t>(i), &position);
  }
}

std::vector<Position> Automaton::Next(const StateData& from, std::string_view name, std::int64_t& best) const {
  std::vector<Position> next(from.lasting);
  best = from.best;
  Meet(from, name, best, [&](const Group& group, std::uint32_t, const Position* positions) {
    best = std::max(best, group.ends);
    for (const Position* at = positions; at != positions + (group.last - group.first); ++at) {
      if (std::int64_t{at->rule} <= best) break;
      if (at->component + 1 != rules_[at->rule].components.size()) next.push_back(After(*at));
    }
  });
  std::erase_if(next, [&](const Position& position) { return std::int64_t{position.rule} <= best; });
  std::sort(next.begin(), next.end());
  next.erase(std::unique(next.begin(), next.end()), next.end());
  return next;
}

void Automaton::Met::Sort() {
  const auto last = groups_.begin() + static_cast<std::ptrdiff_t>(count_);
  std::sort(groups_.begin(), last);
  count_ = static_cast<std::size_t>(std::unique(groups_.begin(), last) - groups_.begin());
}

const Automaton::StateData* Automaton::Remembered(const StateData& from, const Met& met, std::size_t hash) const {
  for (const Transition* at = transitions_[hash % kSlots].load(std::memory_order_acquire); at != nullptr; at = at->chained) {
    if (at->from == &from && std::equal(met.begin(), met.end(), at->met.begin(), at->met.end())) return at->to;
  }
  return nullptr;
}

void Automaton::Remember(const StateData& from, const Met& met, std::size_t hash, const StateData* to) const {
  const std::size_t cost = sizeof(Transition) + sizeof(std::uint32_t) * static_cast<std::size_t>(met.end() - met.begin());
  if (spent_.load(std::memory_order_relaxed) + cost > budget_) return;
  spent_.fetch_add(cost, std::memory_order_relaxed);
  auto& slot = transitions_[hash % kSlots];
  auto* made = new Transition{&from, {met.begin(), met.end()}, to, slot.load(std::memory_order_acquire)};
  // If two threads both add it, one entry precedes the other in the chain; that is harmless.
  while (!slot.compare_exchange_weak(made->chained, made, std::memory_order_acq_rel, std::memory_order_acquire)) {
  }
}

const Automaton::StateData* Automaton::Lead(const StateData& whole, const StateData& parent, std::string_view name, bool& dear) const {
  std::int64_t best = -1;
  std::vector<Position> next = Next(whole, name, best);
  dear = next.size() > kCheap;
  if (next.empty()) return &bare_[static_cast<std::size_t>(best + 1)];
  if (best == whole.best && next == whole.positions) return &parent;
  return Intern(best, std::move(next), parent, name);
}

State Automaton::Step(State from, std::string_view name) const {
  const StateData& parent = Of(from);
  bool dear = false;
  const std::unique_ptr<StateData> unfolded = parent.folded ? Unfold(parent) : nullptr;
  const StateData& whole = unfolded ? *unfolded : parent;
  Met met;
  Meet(whole, name, whole.best, [&met](const Group&, std::uint32_t number, const Position*) { met.Add(number); });
  // All names that match nothing lead to the same state.
  if (met.Empty()) {
    const StateData* to = parent.idle.load(std::memory_order_acquire);
    if (to == nullptr) {
      to = Lead(whole, parent, name, dear);
      parent.idle.store(to, std::memory_order_release);
    }
    return State(to);
  }
  if (unfolded || met.Overflowed()) return State(Lead(whole, parent, name, dear));
  met.Sort();
  std::size_t hash = reinterpret_cast<std::uintptr_t>(&parent) >> 4;
  for (const std::uint32_t group : met) hash = Mix(hash, group);
  if (const StateData* known = Remembered(parent, met, hash)) return State(known);
  const StateData* to = Lead(parent, parent, name, dear);
  if (dear && !to->folded) Remember(parent, met, hash, to);
  return State(to);
}

Decision Automaton::Classify(State from, std::string_view name, bool is_dir) const noexcept {
  const auto decide = [&](const StateData& state) {
    std::int64_t best = state.best;
    Meet(state, name, best,
         [&](const Group& group, std::uint32_t, const Position*) { best = std::max(best, is_dir ? group.ends : group.ends_for_files); });
    return DecisionAt(best);
  };
  const StateData& state = Of(from);
  if (!state.folded) return decide(state);
  try {
    return decide(*Unfold(state));
  } catch (const std::bad_alloc&) {
    // No memory to evaluate the rules: when in doubt, back the file up.
    return Decision{};
  }
}

std::unique_ptr<Automaton::StateData> Automaton::Unfold(const StateData& folded) const {
  std::vector<const StateData*> chain;
  const StateData* at = &folded;
  for (; at->folded; at = at->folded->parent) chain.push_back(at);
  std::unique_ptr<StateData> whole;
  for (auto state = chain.rbegin(); state != chain.rend(); ++state) {
    auto made = std::make_unique<StateData>();
    made->positions = Next(whole ? *whole : *at, (*state)->folded->name, made->best);
    std::copy_if(made->positions.begin(), made->positions.end(), std::back_inserter(made->lasting),
                 [this](Position p) { return Lasts(p); });
    whole = std::move(made);
  }
  return whole;
}

std::unique_ptr<Automaton::StateData> Automaton::Make(std::int64_t best, std::vector<Position> positions) const {
  auto data = std::make_unique<StateData>();
  data->best = best;
  std::copy_if(positions.begin(), positions.end(), std::back_inserter(data->lasting), [this](Position p) { return Lasts(p); });
  if (positions.size() > kFew) data->index = std::make_unique<NameIndex>(rules_, positions);
  data->positions = std::move(positions);
  return data;
}

Automaton::Slot& Automaton::SlotOf(std::size_t hash) const noexcept { return slots_[hash % kSlots]; }

template <typename Same>
const Automaton::StateData* Automaton::Known(std::size_t hash, Same same) const {
  for (const StateData* at = SlotOf(hash).load(std::memory_order_acquire); at != nullptr; at = at->chained) {
    if (at->hash == hash && same(*at)) return at;
  }
  return nullptr;
}

template <typename Same>
const Automaton::StateData* Automaton::Add(std::unique_ptr<StateData> data, std::size_t hash, Same same) const {
  data->hash = hash;
  Slot& slot = SlotOf(hash);
  const StateData* first = slot.load(std::memory_order_acquire);
  do {
    for (const StateData* at = first; at != nullptr; at = at->chained) {
      if (at->hash == hash && same(*at)) return at;
    }
    data->chained = first;
  } while (!slot.compare_exchange_weak(first, data.get(), std::memory_order_acq_rel, std::memory_order_acquire));
  return data.release();
}

const Automaton::StateData* Automaton::Intern(std::int64_t best, std::vector<Position> positions, const StateData& parent,
                                              std::string_view name) const {
  const std::size_t hash = HashOf(best, positions);
  const auto same = [&](const StateData& other) { return !other.folded && other.best == best && other.positions == positions; };
  if (const StateData* known = Known(hash, same)) return known;
  const std::size_t cost = sizeof(StateData) + positions.size() * (2 * sizeof(Position) + (positions.size() > kFew ? kIndexBytes : 0));
  if (spent_.load(std::memory_order_relaxed) + cost <= budget_) {
    spent_.fetch_add(cost, std::memory_order_relaxed);
    auto data = Make(best, positions);
    return Add(std::move(data), hash, same);
  }
  const std::size_t folded_hash = Mix(std::hash<std::string_view>()(name), reinterpret_cast<std::uintptr_t>(&parent));
  const auto same_place = [&](const StateData& other) {
    return other.folded && other.folded->parent == &parent && other.folded->name == name;
  };
  if (const StateData* known = Known(folded_hash, same_place)) return known;
  auto data = std::make_unique<StateData>();
  data->best = best;
  data->folded.reset(new Folded{&parent, std::string(name)});
  return Add(std::move(data), folded_hash, same_place);
}

bool Automaton::Equivalent(State a, State b) const {
  if (a == b) return true;
  return WithWhole(Of(a), [&](const StateData& whole_a) {
    return WithWhole(Of(b), [&](const StateData& whole_b) {
      const StateData& low = whole_a.best <= whole_b.best ? whole_a : whole_b;
      const StateData& high = whole_a.best <= whole_b.best ? whole_b : whole_a;
      const TierId tier = DecisionAt(low.best).tier;
      if (DecisionAt(high.best).tier != tier) return false;
      // Two conditions. Rules above the higher `best` must wait in both states alike. Rules in
      // between, alive only in `low`, must give the tier that both states already have.
      const auto above = std::find_if(low.positions.begin(), low.positions.end(),
                                      [&](Position position) { return std::int64_t{position.rule} > high.best; });
      if (!std::equal(above, low.positions.end(), high.positions.begin(), high.positions.end())) return false;
      const auto says_the_same = [&](Position position) {
        const std::int64_t rule = position.rule;
        return rule <= low.best || rule > high.best || rules_[position.rule].tier == tier;
      };
      return std::all_of(low.positions.begin(), above, says_the_same) && std::all_of(floating_.begin(), floating_.end(), says_the_same);
    });
  });
}

std::vector<RuleId> Automaton::MayChangeBelow(State state) const {
  return WithWhole(Of(state), [&](const StateData& data) {
    std::vector<std::uint32_t> alive;
    for (const auto* positions : {&floating_, &data.positions}) {
      for (const Position& position : *positions) {
        if (std::int64_t{position.rule} > data.best) alive.push_back(position.rule);
      }
    }
    std::sort(alive.begin(), alive.end());
    alive.erase(std::unique(alive.begin(), alive.end()), alive.end());
    // A rule for the present tier matters only if it overrides a lower rule that changed the tier.
    const TierId tier = DecisionAt(data.best).tier;
    const auto first = std::find_if(alive.begin(), alive.end(), [&](std::uint32_t rule) { return rules_[rule].tier != tier; });
    std::vector<RuleId> rules;
    for (auto rule = first; rule != alive.end(); ++rule) rules.push_back(RuleId{*rule});
    return rules;
  });
}

Policy::Size Automaton::MemoryUsed() const {
  const auto bytes_of = [](const StateData& state) {
    return sizeof state + (state.positions.capacity() + state.lasting.capacity()) * sizeof(Position) +
           (state.index ? state.index->Bytes() : 0) + (state.folded ? sizeof(Folded) + state.folded->name.capacity() : 0);
  };
  Policy::Size size;
  size.states = bare_.size() + 1;
  size.bytes = sizeof *this + floating_index_->Bytes() + floating_.capacity() * sizeof(Position) + bare_.size() * sizeof(StateData) +
               2 * kSlots * sizeof(Slot) + bytes_of(*root_);
  for (std::size_t i = 0; i < kSlots; ++i) {
    for (const StateData* at = slots_[i].load(std::memory_order_acquire); at != nullptr; at = at->chained) {
      ++size.states;
      if (at->folded) ++size.folded;
      size.bytes += bytes_of(*at);
    }
    for (const Transition* at = transitions_[i].load(std::memory_order_acquire); at != nullptr; at = at->chained) {
      size.bytes += sizeof *at + at->met.capacity() * sizeof(std::uint32_t);
    }
  }
  return size;
}

}  // namespace tierfs::policy
