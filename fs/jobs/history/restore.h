// Brings paths of tier 1 back to what a commit holds, through the mount.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/history/repository.h"

namespace tierfs::history {

struct RestoreStep {
  enum class What { kRemove, kWrite, kAttributes };
  What what = What::kWrite;
  std::string path;
  Item item;               // not of a removal
  bool directory = false;  // of a removal
  // What stands there and is in the newest commit, if anything does; of an attributes step, the
  // directory if it is there already. A file that changes meanwhile is neither replaced nor
  // removed, down to the instant between the last look at it and the rename, and no new one ever
  // is.
  bool present = false;
  Item now;

  [[nodiscard]] std::string Describe() const;  // "write etc/x"
};

struct RestorePlan {
  std::vector<RestoreStep> steps;  // in the order in which they are taken
  std::vector<std::string> notes;  // what cannot be brought back, one line each
};

struct RestoreInput {
  const Items& items;   // of the revision
  const Items& newest;  // of the newest commit
  int mount;            // the mount's root
  int tree;             // the root of tier 1's tree
  std::function<bool(const std::string& path)> in_lower;
  bool preview = false;  // a commit is made before the steps are taken, but has not been made yet
};

// Whether the path is that of a directory in which a restore makes a new entry, or is in one. A
// restore removes it, unless it is killed.
[[nodiscard]] bool IsBeneathWorkplace(const std::string& path);

// What has to be done so that each of the paths (relative to the mount; "" is all of it) is what
// the items hold. What tier 1 has beneath a path and the items do not have is removed; other tiers
// are left alone. Nothing is lost: what the newest commit does not hold exactly as it is now is
// noted and left alone, as is what git cannot hold. Changes nothing. Fails if the items lack a
// path, or if a directory that has to go holds files that stay. A path that the items leave to a
// lower layer cannot be given back to it: it is noted and left alone.
[[nodiscard]] Outcome<RestorePlan> PlanRestore(const RestoreInput& input, const std::vector<std::string>& paths);

// Takes the steps, and calls `done` after each. A file is complete, and durable, before it gets its
// name. Nobody who may write to its directory can put another file in its place while it is made.
// The first error ends it; the same restore can be run again.
[[nodiscard]] Outcome<void> Restore(const Repository& repository, const RestorePlan& plan, int mount,
                                    const std::function<void(const RestoreStep&)>& done);

}  // namespace tierfs::history
