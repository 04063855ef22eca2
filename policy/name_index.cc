#include "policy/name_index.h"

#include <algorithm>
#include <cstring>
#include <map>

namespace tierfs::policy {

ByteTrie::ByteTrie(const std::vector<std::pair<std::string, std::uint32_t>>& keys) {
  if (keys.empty()) return;
  // Build breadth first, so that the edges of a node lie side by side. A node stands for the keys
  // [low, high), which share `depth` bytes.
  struct Span {
    std::size_t low;
    std::size_t high;
    std::size_t depth;
  };
  std::vector<Span> spans{{0, keys.size(), 0}};
  for (std::size_t node = 0; node < spans.size(); ++node) {
    auto [low, high, depth] = spans[node];
    Node& made = nodes_.emplace_back();
    made.first_edge = static_cast<std::uint32_t>(edge_bytes_.size());
    if (keys[low].first.size() == depth) made.value = keys[low++].second;
    while (low < high) {
      const char byte = keys[low].first[depth];
      std::size_t end = low;
      while (end < high && keys[end].first[depth] == byte) ++end;
      edge_bytes_.push_back(static_cast<unsigned char>(byte));
      edge_targets_.push_back(static_cast<std::uint32_t>(spans.size()));
      spans.push_back({low, end, depth + 1});
      low = end;
    }
    made.edges = static_cast<std::uint32_t>(edge_bytes_.size()) - made.first_edge;
  }
  nodes_.shrink_to_fit();
  edge_bytes_.shrink_to_fit();
  edge_targets_.shrink_to_fit();
}

bool ByteTrie::Descend(unsigned char byte, std::uint32_t& node) const noexcept {
  const Node& from = nodes_[node];
  if (from.edges == 0) return false;
  const unsigned char* first = edge_bytes_.data() + from.first_edge;
  const void* edge = std::memchr(first, byte, from.edges);
  if (edge == nullptr) return false;
  node = edge_targets_[from.first_edge + static_cast<std::size_t>(static_cast<const unsigned char*>(edge) - first)];
  return true;
}

std::size_t ByteTrie::Bytes() const {
  return nodes_.capacity() * sizeof(Node) + edge_bytes_.capacity() + edge_targets_.capacity() * sizeof(std::uint32_t);
}

namespace {

using Bucket = std::map<std::string_view, std::vector<Position>>;  // keyed by pattern
using Table = std::map<std::string, Bucket>;

// Positions by the literal bytes that a name must have to match.
struct Buckets {
  Bucket others;
  std::unordered_map<std::string_view, Bucket> literals;
  Table suffixes;
  Table prefixes;
  Table runs;
};

Buckets ByLiteralBytes(const std::vector<Rule>& rules, const std::vector<Position>& positions) {
  Buckets buckets;
  for (const Position& position : positions) {
    const Glob& glob = rules[position.rule].components[position.component].glob;
    const auto add_to = [&](Bucket& bucket) { bucket[glob.text()].push_back(position); };
    if (glob.literal()) {
      add_to(buckets.literals[*glob.literal()]);
      continue;
    }
    const std::string prefix = glob.LiteralPrefix().substr(0, ByteTrie::kMaxKey);
    std::string suffix = glob.suffix();
    std::reverse(suffix.begin(), suffix.end());
    suffix.resize(std::min(suffix.size(), ByteTrie::kMaxKey));
    if (!suffix.empty() && suffix.size() >= prefix.size()) {
      add_to(buckets.suffixes[suffix]);
    } else if (!prefix.empty()) {
      add_to(buckets.prefixes[prefix]);
    } else if (const std::string run = glob.LongestRun().substr(0, ByteTrie::kMaxKey); !run.empty()) {
      add_to(buckets.runs[run]);
    } else {
      add_to(buckets.others);
    }
  }
  return buckets;
}

}  // namespace

NameIndex::NameIndex(const std::vector<Rule>& rules, const std::vector<Position>& positions) {
  Buckets buckets = ByLiteralBytes(rules, positions);
  positions_.reserve(positions.size());
  offsets_.push_back(0);
  const auto add = [&](Bucket& bucket) {
    for (auto& [text, same] : bucket) {
      std::sort(same.begin(), same.end(), std::greater<>());
      Group group;
      group.first = static_cast<std::uint32_t>(positions_.size());
      for (const Position& position : same) group.Add(rules[position.rule], position);
      positions_.insert(positions_.end(), same.begin(), same.end());
      group.last = static_cast<std::uint32_t>(positions_.size());
      groups_.push_back(group);
    }
    std::sort(groups_.begin() + offsets_.back(), groups_.end(), [](const Group& a, const Group& b) { return a.highest > b.highest; });
    offsets_.push_back(static_cast<std::uint32_t>(groups_.size()));
    return static_cast<std::uint32_t>(offsets_.size() - 2);
  };
  has_others_ = !buckets.others.empty();
  add(buckets.others);
  literals_.reserve(buckets.literals.size());
  for (auto& [text, bucket] : buckets.literals) literals_.emplace(text, add(bucket));
  const auto trie_of = [&](Table& table) {
    std::vector<std::pair<std::string, std::uint32_t>> keys;
    for (auto& [text, bucket] : table) keys.emplace_back(text, add(bucket));
    return ByteTrie(keys);
  };
  suffixes_ = trie_of(buckets.suffixes);
  prefixes_ = trie_of(buckets.prefixes);
  runs_ = trie_of(buckets.runs);
  offsets_.shrink_to_fit();
  groups_.shrink_to_fit();
}

std::size_t NameIndex::Bytes() const {
  constexpr std::size_t kHashNode = sizeof(std::pair<std::string_view, std::uint32_t>) + 2 * sizeof(void*);
  return sizeof *this + positions_.capacity() * sizeof(Position) + groups_.capacity() * sizeof(Group) +
         offsets_.capacity() * sizeof(std::uint32_t) + literals_.size() * kHashNode + literals_.bucket_count() * sizeof(void*) +
         suffixes_.Bytes() + prefixes_.Bytes() + runs_.Bytes();
}

}  // namespace tierfs::policy
