// What a multi-step operation is about to do, written down before its first step.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tierfs {

// One atomic change of the tier trees. Whether it has been done can be told by what stands at its
// paths.
struct Step {
  enum class Kind : std::uint8_t {
    kPublish,         // a finished copy, `path` in the work directory of tier `layer`, gets its place at `to`
    kRename,          // `path` in tier `layer` becomes `to` in tier `to_layer`, and replaces what is there
    kRenameWhiteout,  // the same, and leaves a whiteout
    kExchange,        // the two change places
    kRemove,          // `path` goes: a file, a whiteout, or a directory that holds whiteouts alone
    kWhiteout,        // `path` becomes a whiteout
    kSettle,          // what stands at `path` in the mount goes where its class is, in its own time; has no instant of its own
  };
  Kind kind = Kind::kPublish;
  std::uint8_t layer = 0;
  std::uint8_t to_layer = 0;
  std::string path;         // bytes, relative to the tree
  std::string to;           // the other path of a rename or exchange
  std::uint64_t inode = 0;  // the identity (InodeIdentity) of what stands at `path` before it
};

struct Intent {
  std::string what;  // for people: "rename a -> b"
  std::vector<Step> steps;
};

}  // namespace tierfs
