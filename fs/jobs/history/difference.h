// What differs between two states of tier 1.
#pragma once

#include <string>
#include <vector>

#include "fs/jobs/history/repository.h"

namespace tierfs::history {

struct Difference {
  char what = 'M';  // A added, M modified, m owner, mode or extended attributes only, D removed
  std::string path;
  // One line for each attribute: "mode 0644 -> 0640", "owner root -> www-data".
  std::vector<std::string> attributes;
};

// In the order of the paths. A directory that only comes or goes with what it holds is not listed.
[[nodiscard]] std::vector<Difference> Compare(const Items& before, const Items& after);

// Whether `path` is `above` or beneath it; everything is beneath "".
[[nodiscard]] bool IsAtOrBeneath(const std::string& path, const std::string& above);

// The tree as it is now, and a commit that turns the items of a commit into it. The commit has no
// content that was not read just now: the gate has not seen it.
struct Present {
  Items items;
  NewCommit commit;
};
[[nodiscard]] Outcome<Present> ReadPresent(int tree, const Items& committed);

}  // namespace tierfs::history
