#include "policy/match.h"

#include <algorithm>
#include <utility>

namespace tierfs::policy {

std::vector<std::string_view> ComponentsOf(std::string_view path) {
  std::vector<std::string_view> components;
  while (!path.empty()) {
    const std::string_view component = path.substr(0, path.find('/'));
    if (!component.empty()) components.push_back(component);
    path.remove_prefix(std::min(path.size(), component.size() + 1));
  }
  return components;
}

namespace {

// Calls `matched(depth)` for each number of leading components that the whole pattern matches,
// until `matched` returns true.
template <typename Matched>
void Walk(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir, Matched matched) {
  const std::vector<Component>& pattern = rule.components;
  // waiting[i]: component i may match the next name. If a `**` waits, the component behind it waits
  // too.
  std::vector<bool> waiting(pattern.size());
  waiting[0] = true;
  for (std::size_t depth = 0; depth < path.size(); ++depth) {
    std::vector<bool> next(pattern.size());
    const bool directory = is_dir || depth + 1 < path.size();
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!waiting[i]) continue;
      if (pattern[i].any_depth) {
        next[i] = true;
        waiting[i + 1] = true;
      } else if (pattern[i].glob.Matches(path[depth])) {
        if (i + 1 < pattern.size()) {
          next[i + 1] = true;
        } else if ((directory || !rule.directories_only) && matched(depth + 1)) {
          return;
        }
      }
    }
    waiting = std::move(next);
  }
}

}  // namespace

std::optional<std::size_t> FirstMatch(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir) {
  std::optional<std::size_t> first;
  Walk(rule, path, is_dir, [&](std::size_t depth) {
    first = depth;
    return true;
  });
  return first;
}

bool MatchesItself(const Rule& rule, const std::vector<std::string_view>& path, bool is_dir) {
  bool whole = false;
  Walk(rule, path, is_dir, [&](std::size_t depth) { return whole = depth == path.size(); });
  return whole;
}

}  // namespace tierfs::policy
