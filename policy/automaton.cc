#include "policy/automaton.h"

#include <algorithm>

namespace tierfs::policy {
namespace {

// Below this many positions trying each is cheaper than hashing the name.
constexpr std::size_t kFew = 4;

std::size_t HashOf(std::int64_t best, const std::vector<Position>& positions) {
  std::uint64_t hash = static_cast<std::uint64_t>(best) * 0x9E3779B97F4A7C15ULL;
  for (const Position& position : positions) {
    hash ^= (std::uint64_t{position.rule} << 20) + position.component + 0x9E3779B97F4A7C15ULL + (hash << 6) + (hash >> 2);
  }
  return hash;
}

}  // namespace

NameIndex::NameIndex(const std::vector<Rule>& rules, const std::vector<Position>& positions) {
  for (const Position& position : positions) {
    const Glob& glob = rules[position.rule].components[position.component].glob;
    if (glob.literal()) {
      literals_.buckets[*glob.literal()].push_back(position);
    } else if (glob.suffix_decides() && !glob.suffix().empty()) {
      suffixes_.buckets[glob.suffix()].push_back(position);
    } else {
      globs_.push_back(position);
    }
  }
  const auto highest_first = [](Bucket& bucket) { std::sort(bucket.begin(), bucket.end(), std::greater<>()); };
  highest_first(globs_);
  for (ByText* table : {&literals_, &suffixes_}) {
    for (auto& [text, bucket] : table->buckets) {
      highest_first(bucket);
      if (std::find(table->lengths.begin(), table->lengths.end(), text.size()) == table->lengths.end()) {
        table->lengths.push_back(text.size());
      }
    }
  }
}

template <typename Matched>
void NameIndex::Find(const std::vector<Rule>& rules, std::string_view name, const std::int64_t& floor,
                     Matched matched) const {
  const auto take = [&](const Bucket& bucket) {
    for (const Position& position : bucket) {
      if (std::int64_t{position.rule} <= floor) return;
      matched(position);
    }
  };
  if (!literals_.buckets.empty()) {
    if (const auto found = literals_.buckets.find(name); found != literals_.buckets.end()) take(found->second);
  }
  for (const std::size_t length : suffixes_.lengths) {
    if (length > name.size()) continue;
    const auto found = suffixes_.buckets.find(name.substr(name.size() - length));
    if (found != suffixes_.buckets.end()) take(found->second);
  }
  for (const Position& position : globs_) {
    if (std::int64_t{position.rule} <= floor) return;
    if (rules[position.rule].components[position.component].glob.Matches(name)) matched(position);
  }
}

std::size_t NameIndex::Bytes() const {
  std::size_t bytes = sizeof *this + globs_.capacity() * sizeof(Position);
  for (const ByText* table : {&literals_, &suffixes_}) {
    for (const auto& [text, bucket] : table->buckets) {
      bytes += sizeof text + sizeof bucket + 2 * sizeof(void*) + bucket.capacity() * sizeof(Position);
    }
  }
  return bytes;
}

Automaton::Automaton(const std::vector<Rule>& rules) : rules_(rules) {
  std::vector<Position> anchored;
  for (std::uint32_t rule = 0; rule < rules_.size(); ++rule) {
    if (rules_[rule].components[0].any_depth) {
      floating_.push_back(Position{rule, 1});
    } else {
      anchored.push_back(Position{rule, 0});
    }
  }
  floating_index_ = std::make_unique<NameIndex>(rules_, floating_);
  bare_.reserve(rules_.size() + 1);
  for (std::int64_t best = -1; best < static_cast<std::int64_t>(rules_.size()); ++best) {
    bare_.push_back(std::make_unique<StateData>());
    bare_.back()->best = best;
  }
  root_ = Intern(-1, std::move(anchored));
}

Decision Automaton::DecisionAt(std::int64_t best) const {
  if (best < 0) return Decision{};
  const auto rule = static_cast<std::uint32_t>(best);
  return Decision{rules_[rule].tier, RuleId{rule}};
}

void Automaton::Follow(Position at, std::vector<Position>& out) const {
  ++at.component;
  if (rules_[at.rule].components[at.component].any_depth) ++at.component;  // the `**` itself may stand for nothing
  out.push_back(at);
}

std::int64_t Automaton::Advance(const StateData& from, std::string_view name, bool is_dir,
                                std::vector<Position>* next) const {
  std::int64_t best = from.best;
  const auto matched = [&](Position position) {
    if (Ends(position)) {
      if (is_dir || !rules_[position.rule].directories_only) best = std::max(best, std::int64_t{position.rule});
    } else if (next != nullptr) {
      Follow(position, *next);
    }
  };
  floating_index_->Find(rules_, name, best, matched);
  if (from.index) {
    from.index->Find(rules_, name, best, matched);
  } else {
    for (auto position = from.positions.rbegin(); position != from.positions.rend(); ++position) {
      if (std::int64_t{position->rule} <= best) break;
      if (rules_[position->rule].components[position->component].glob.Matches(name)) matched(*position);
    }
  }
  if (next != nullptr) {
    // What stands behind a `**` is waited for in every directory beneath.
    for (const Position& position : from.positions) {
      if (position.component > 0 && rules_[position.rule].components[position.component - 1].any_depth) {
        next->push_back(position);
      }
    }
  }
  return best;
}

State Automaton::Step(State from, std::string_view name) const {
  std::vector<Position> next;
  const std::int64_t best = Advance(Of(from), name, true, &next);
  std::erase_if(next, [best](const Position& position) { return std::int64_t{position.rule} <= best; });
  if (next.empty()) return State(bare_[static_cast<std::size_t>(best + 1)].get());
  std::sort(next.begin(), next.end());
  next.erase(std::unique(next.begin(), next.end()), next.end());
  return State(Intern(best, std::move(next)));
}

Decision Automaton::Classify(State from, std::string_view name, bool is_dir) const {
  return DecisionAt(Advance(Of(from), name, is_dir, nullptr));
}

const Automaton::StateData* Automaton::Intern(std::int64_t best, std::vector<Position> positions) const {
  const std::size_t hash = HashOf(best, positions);
  const std::lock_guard lock(mutex_);
  const auto [begin, end] = interned_.equal_range(hash);
  for (auto known = begin; known != end; ++known) {
    if (known->second->best == best && known->second->positions == positions) return known->second;
  }
  auto data = std::make_unique<StateData>();
  data->best = best;
  if (positions.size() > kFew) data->index = std::make_unique<NameIndex>(rules_, positions);
  data->positions = std::move(positions);
  states_.push_back(std::move(data));
  interned_.emplace(hash, states_.back().get());
  return states_.back().get();
}

bool Automaton::Equivalent(State a, State b) const {
  if (a == b) return true;
  const StateData* low = &Of(a);
  const StateData* high = &Of(b);
  if (low->best > high->best) std::swap(low, high);
  const TierId tier = DecisionAt(low->best).tier;
  if (DecisionAt(high->best).tier != tier) return false;
  // Rules above the higher of the two must wait in both alike; those in between, alive only in the one, must say what both say already.
  std::vector<Position> above;
  for (const Position& position : low->positions) {
    if (std::int64_t{position.rule} > high->best) {
      above.push_back(position);
    } else if (rules_[position.rule].tier != tier) {
      return false;
    }
  }
  if (above != high->positions) return false;
  for (const Position& position : floating_) {
    const std::int64_t rule = position.rule;
    if (rule > low->best && rule <= high->best && rules_[position.rule].tier != tier) return false;
  }
  return true;
}

std::vector<RuleId> Automaton::MayChangeBelow(State state) const {
  const StateData& data = Of(state);
  const TierId tier = DecisionAt(data.best).tier;
  std::vector<RuleId> rules;
  const auto add = [&](const Position& position) {
    if (std::int64_t{position.rule} > data.best && rules_[position.rule].tier != tier) rules.push_back(RuleId{position.rule});
  };
  std::for_each(floating_.begin(), floating_.end(), add);
  std::for_each(data.positions.begin(), data.positions.end(), add);
  const auto by_number = [](RuleId x, RuleId y) { return x.value < y.value; };
  std::sort(rules.begin(), rules.end(), by_number);
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  return rules;
}

Policy::Size Automaton::MemoryUsed() const {
  const std::lock_guard lock(mutex_);
  Policy::Size size;
  size.states = states_.size() + bare_.size();
  size.bytes = sizeof *this + floating_index_->Bytes() + bare_.size() * (sizeof(StateData) + sizeof(void*));
  for (const auto& state : states_) {
    size.bytes += sizeof *state + state->positions.capacity() * sizeof(Position) + (state->index ? state->index->Bytes() : 0);
  }
  return size;
}

}  // namespace tierfs::policy
