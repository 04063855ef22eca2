// The plan of a multi-step operation, written down before its first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tierfs {

// One atomic change of the tier trees. The entries at its paths show whether it has been done.
struct Step {
  enum class Kind : std::uint8_t {
    kPublish,         // the finished copy `path` in the work directory of `layer` moves to `to`
    kRename,          // `path` in `layer` becomes `to` in `to_layer` and replaces an entry there
    kRenameWhiteout,  // like kRename, and leaves a whiteout at `path`
    kExchange,        // `path` and `to` change places
    kRemove,          // removes `path`: a file, a whiteout, or a directory of whiteouts alone
    kWhiteout,        // puts a whiteout at `path`
    kSettle,          // settles `path` of the mount in the background; not one atomic change
  };
  Kind kind = Kind::kPublish;
  std::uint8_t layer = 0;
  std::uint8_t to_layer = 0;
  std::string path;         // bytes, relative to the tree
  std::string to;           // the other path of a rename or exchange
  std::uint64_t inode = 0;  // the identity (InodeIdentity) of the entry at `path` before the step
};

struct Intent {
  std::string what;  // for logs: "rename of a to b"
  std::vector<Step> steps;
};

}  // namespace tierfs
