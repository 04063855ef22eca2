// What a multi-step operation is about to do, written down before its first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tierfs {

// One atomic change of one tier tree. Whether it has been done can be told by the inode numbers that stand at its paths.
struct Step {
  enum class Kind : std::uint8_t { kPublish, kRename, kExchange, kRemove, kWhiteout };
  Kind kind = Kind::kPublish;
  std::uint8_t layer = 0;   // of the tree
  std::string path;         // bytes, relative to the tree
  std::string to;           // the other path of a rename or exchange
  std::uint64_t inode = 0;  // of what stands at `path` before it
  std::uint64_t other = 0;  // of what stands at `to` before it
};

struct Intent {
  std::string what;  // for people: "rename a -> b"
  std::vector<Step> steps;
};

}  // namespace tierfs
