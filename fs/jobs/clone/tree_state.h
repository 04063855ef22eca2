// What a tree holds at one time, to show that it did not change.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "fs/os/result.h"

namespace tierfs::clone {

class TreeState {
 public:
  // Reads the whole tree: content, type, mode, owner, device and extended attributes of each path,
  // with XXH3 (128 bits). Entries that vanish meanwhile are left out. ECANCELED if `cancelled` is
  // set meanwhile.
  [[nodiscard]] static Result<TreeState> Read(const std::string& root, const std::atomic<bool>& cancelled);

  [[nodiscard]] const std::string& hash() const { return hash_; }  // in hexadecimal
  [[nodiscard]] std::uint64_t paths() const { return entries_.size(); }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // The number of paths that are in only one of the two states, or differ.
  [[nodiscard]] std::uint64_t ChangedSince(const TreeState& before) const;

 private:
  class Reader;
  // 128 bits of a path's state, path included: equal if and only if nothing of it has changed.
  using Entry = std::pair<std::uint64_t, std::uint64_t>;
  struct Seen {
    std::uint64_t path;
    Entry state;
    bool operator<(const Seen& other) const { return std::tie(path, state) < std::tie(other.path, other.state); }
  };

  std::vector<Seen> entries_;  // sorted
  std::uint64_t bytes_ = 0;
  std::string hash_;
};

}  // namespace tierfs::clone
