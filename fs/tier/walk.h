// Walks the tree of one layer, beside or without a mount.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "fs/os/result.h"

namespace tierfs {

struct WalkedEntry {
  std::string path;  // relative to the tree, without a leading slash
  struct stat st;
  bool whiteout;  // the mark of a deleted lower entry
};

// Calls `visit` for every entry beneath the directory `root`, a directory before its content. Never
// follows a symlink. Keeps one descriptor open for each level. Skips entries that vanish meanwhile,
// and mounts that cannot be looked at.
[[nodiscard]] Status WalkTree(const std::string& root, const std::function<void(const WalkedEntry&)>& visit);
// The same for an open directory; O_PATH is enough. `enter` is asked before a directory is entered.
[[nodiscard]] Status WalkTree(int root, const std::function<void(const WalkedEntry&)>& visit,
                              const std::function<bool(const WalkedEntry&)>& enter);

}  // namespace tierfs
