// What holds of the tier trees whenever nobody writes.
#pragma once

#include <string>
#include <vector>

#include "policy/policy.h"
#include "tests/mount/snapshot.h"

namespace tierfs::test {

struct TierTrees {
  std::vector<std::string> roots;  // tier 1 to 4
  std::string lower;               // what the lower layers alone show, merged by the kernel; empty without lower layers
  bool several_disks;              // a link may then stand with its inode in another tier than its own class
};

struct TreeReport {
  std::string problems;                                      // a line each, empty when all holds
  std::size_t misplaced = 0;                                 // files in another tier than their class, as `tierctl status` counts them
  std::vector<std::pair<int, std::string>> misplaced_files;  // tier and path, but for those with several names on several disks
};

// Every file that the mount shows (`shown`) and that no lower layer holds is in exactly one tree.
// Nothing else is in the trees but the directories that lead there, with the same owner, mode and
// xattrs in each, and whiteouts where a lower entry would show.
TreeReport CheckTrees(const TierTrees& trees, const Snapshot& shown, const policy::Policy& policy);

}  // namespace tierfs::test
