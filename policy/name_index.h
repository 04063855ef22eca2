// Finds which of many globs match a name, without trying each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/rule.h"

namespace tierfs::policy {

// A component of a rule that waits for a name.
struct Position {
  std::uint32_t rule;
  std::uint32_t component;
  bool operator==(const Position&) const = default;
  // NOLINTNEXTLINE(modernize-use-nullptr): the warning is about code that the compiler generates.
  auto operator<=>(const Position&) const = default;
};

// A set of short byte strings. Finds those that are a prefix of a text in one walk, which ends at
// the first byte that continues no string.
class ByteTrie {
 public:
  // Longer keys are cut, so that the node and edge tables stay small for any patterns.
  static constexpr std::size_t kMaxKey = 16;

  ByteTrie() = default;
  // `keys` are (text, value) pairs, sorted by text. Each text is unique and at most kMaxKey bytes
  // long.
  explicit ByteTrie(const std::vector<std::pair<std::string, std::uint32_t>>& keys);

  [[nodiscard]] bool empty() const { return nodes_.empty(); }
  [[nodiscard]] std::size_t Bytes() const;

  // Calls `found(value)` for each key that is a prefix of the bytes from `at` on.
  template <typename Iterator, typename Found>
  void Walk(Iterator at, Iterator end, Found found) const {
    std::uint32_t node = 0;
    for (;; ++at) {
      if (nodes_[node].value != kNoValue) found(nodes_[node].value);
      if (at == end || !Descend(static_cast<unsigned char>(*at), node)) return;
    }
  }

 private:
  static constexpr std::uint32_t kNoValue = 0xFFFFFFFF;
  struct Node {
    std::uint32_t first_edge = 0;  // its edges lie side by side
    std::uint32_t edges = 0;
    std::uint32_t value = kNoValue;
  };

  [[nodiscard]] bool Descend(unsigned char byte, std::uint32_t& node) const noexcept;

  std::vector<Node> nodes_;
  std::vector<unsigned char> edge_bytes_;
  std::vector<std::uint32_t> edge_targets_;
};

// Positions that wait for the same pattern: a name matches all of them or none. The outcome of a
// match is precomputed.
struct Group {
  std::int64_t highest = -1;  // their highest rule
  // The highest rule whose last component this is; -1 for none.
  std::int64_t ends = -1;
  // The same, without the rules for directories only.
  std::int64_t ends_for_files = -1;
  // The range of its positions, the highest rule first.
  std::uint32_t first = 0;
  std::uint32_t last = 0;

  // Adds a position. Its rule must be no higher than those added before.
  void Add(const Rule& rule, const Position& position) {
    highest = std::max(highest, std::int64_t{position.rule});
    if (position.component + 1 != rule.components.size()) return;
    ends = std::max(ends, std::int64_t{position.rule});
    if (!rule.directories_only) ends_for_files = std::max(ends_for_files, std::int64_t{position.rule});
  }
};

// Finds the groups whose pattern matches a name. Literals take one hash look-up. Globs are found by
// a literal prefix, suffix or inner run, each with one walk in a trie that leaves few to try. Only
// globs without a literal byte are tried for every name.
class NameIndex {
 public:
  NameIndex(const std::vector<Rule>& rules, const std::vector<Position>& positions);

  // Calls `matched(group, number)` for each matching group with a rule above `floor`, in no
  // particular order, perhaps more than once. The caller may raise `floor` through the reference
  // meanwhile. Allocates nothing.
  template <typename Matched>
  void Find(const std::vector<Rule>& rules, std::string_view name, const std::int64_t& floor, Matched matched) const {
    const auto attempt = [&](std::uint32_t bucket) {
      for (std::uint32_t i = offsets_[bucket]; i < offsets_[bucket + 1]; ++i) {
        const Group& group = groups_[i];
        if (group.highest <= floor) return;
        const Position& position = positions_[group.first];
        if (rules[position.rule].components[position.component].glob.Matches(name)) matched(group, i);
      }
    };
    if (!literals_.empty()) {
      if (const auto found = literals_.find(name); found != literals_.end()) attempt(found->second);
    }
    if (!suffixes_.empty()) suffixes_.Walk(name.rbegin(), name.rend(), attempt);
    if (!prefixes_.empty()) prefixes_.Walk(name.begin(), name.end(), attempt);
    if (!runs_.empty()) {
      for (auto from = name.begin(); from != name.end(); ++from) runs_.Walk(from, name.end(), attempt);
    }
    if (has_others_) attempt(0);
  }

  [[nodiscard]] const Group& GroupAt(std::uint32_t number) const { return groups_[number]; }
  [[nodiscard]] const Position& PositionAt(std::uint32_t at) const { return positions_[at]; }
  [[nodiscard]] std::size_t Bytes() const;

 private:
  // Buckets of groups, each sorted with the highest rule first. Bucket b is groups_[offsets_[b]] to
  // groups_[offsets_[b + 1]]. Bucket 0 holds the globs without a literal byte.
  std::vector<Position> positions_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> offsets_;
  bool has_others_ = false;
  std::unordered_map<std::string_view, std::uint32_t> literals_;  // the texts belong to the rules
  ByteTrie suffixes_;                                             // with reversed keys
  ByteTrie prefixes_;
  ByteTrie runs_;
};

}  // namespace tierfs::policy
