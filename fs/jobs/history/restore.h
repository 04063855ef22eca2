// Brings paths of tier 1 back to what a commit holds, through the mount.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/history/repository.h"

namespace tierfs::history {

struct RestoreStep {
  enum class What { kRemove, kWrite, kAttributes };
  What what;
  std::string path;
  Item item;               // not of a removal
  bool directory = false;  // of a removal

  [[nodiscard]] std::string Describe() const;  // "write etc/x"
};

struct RestorePlan {
  std::vector<RestoreStep> steps;  // in the order in which they are taken
  std::vector<std::string> notes;  // what cannot be brought back, one line each
};

// What has to be done so that each of the paths (relative to the mount; "" is all of it) is what
// `items` holds. `mount` is the mount's root, `tree` that of tier 1. What tier 1 has beneath a path
// and the items do not have is removed; other tiers are left alone. Changes nothing. Fails if the
// items lack a path, or if a directory that has to go holds files of other tiers. A path that the
// items leave to a lower layer (`in_lower`) cannot be given back to it: it is noted and left alone.
[[nodiscard]] Outcome<RestorePlan> PlanRestore(const Items& items, const std::vector<std::string>& paths, int mount, int tree,
                                               const std::function<bool(const std::string& path)>& in_lower);

// Takes the steps, and calls `done` after each. A file is complete, and durable, before it gets its
// name. The first error ends it; the same restore can be run again.
[[nodiscard]] Outcome<void> Restore(const Repository& repository, const RestorePlan& plan, int mount,
                                    const std::function<void(const RestoreStep&)>& done);

}  // namespace tierfs::history
