// The invariants of the tier trees while no process writes.
#pragma once

#include <string>
#include <vector>

#include "policy/policy.h"
#include "tests/mount/snapshot.h"

namespace tierfs::test {

struct TierTrees {
  std::vector<std::string> roots;  // tier 1 to 4
  // The merged view of the lower layers alone, by the kernel's overlayfs; empty without lower
  // layers.
  std::string lower;
  // The tiers are on several disks: a hard link may then share its inode's tier instead of its own.
  bool several_disks;
};

struct TreeReport {
  // One a line; empty if every invariant holds.
  std::string problems;
  // The number of files in another tier than their class, counted as `tierctl status` does.
  std::size_t misplaced = 0;
  // Their tiers and paths, without files that have several names on several disks.
  std::vector<std::pair<int, std::string>> misplaced_files;
};

// Every file that the mount shows (`shown`) and that is in no lower layer is in exactly one tree.
// Beside these files the trees hold only the directories that lead to them, with equal owner, mode
// and xattrs in each tree, and whiteouts that hide a lower entry.
TreeReport CheckTrees(const TierTrees& trees, const Snapshot& shown, const policy::Policy& policy);

}  // namespace tierfs::test
