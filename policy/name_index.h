// Which of many globs match a name, without trying each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "policy/rule.h"

namespace tierfs::policy {

// A component of a rule that is waited for.
struct Position {
  std::uint32_t rule;
  std::uint32_t component;
  bool operator==(const Position&) const = default;
  auto operator<=>(const Position&) const = default;
};

// A set of short byte strings; says which of them a text begins with in one walk that ends at the first byte that none
// goes on with.
class ByteTrie {
 public:
  // Longer keys are cut: the node and edge tables stay small whatever the patterns.
  static constexpr std::size_t kMaxKey = 16;

  ByteTrie() = default;
  // `keys` are (text, value), sorted, each text once and at most kMaxKey bytes.
  explicit ByteTrie(const std::vector<std::pair<std::string, std::uint32_t>>& keys);

  [[nodiscard]] bool empty() const { return nodes_.empty(); }
  [[nodiscard]] std::size_t Bytes() const;

  // Calls `found(value)` for each key that the bytes from `at` on begin with.
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

// Finds the positions whose glob matches a name: literals by one hash look-up; globs by what they begin with, end with
// or hold, each by one walk in a trie that leaves few to try; only globs without any literal byte are tried for every
// name.
class NameIndex {
 public:
  NameIndex(const std::vector<Rule>& rules, const std::vector<Position>& positions);

  // Calls `matched(position)` for each position of a rule above `floor` whose glob matches, in no particular order,
  // perhaps more than once. `floor` may rise through the reference while it runs. Allocates nothing.
  template <typename Matched>
  void Find(const std::vector<Rule>& rules, std::string_view name, const std::int64_t& floor, Matched matched) const {
    const auto attempt = [&](std::uint32_t bucket) {
      for (std::uint32_t i = offsets_[bucket]; i < offsets_[bucket + 1]; ++i) {
        const Position& position = positions_[i];
        if (std::int64_t{position.rule} <= floor) return;
        if (rules[position.rule].components[position.component].glob.Matches(name)) matched(position);
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

  [[nodiscard]] std::size_t Bytes() const;

 private:
  // Buckets of positions, each with the highest rule first: bucket b is positions_[offsets_[b]] to
  // positions_[offsets_[b + 1]]. Bucket 0 holds the globs without a literal byte.
  std::vector<Position> positions_;
  std::vector<std::uint32_t> offsets_;
  bool has_others_ = false;
  std::unordered_map<std::string_view, std::uint32_t> literals_;  // the texts are the rules'
  ByteTrie suffixes_;                                             // keys reversed
  ByteTrie prefixes_;
  ByteTrie runs_;
};

}  // namespace tierfs::policy
