// One directory of the view, as descriptors of its parts: what the lower ones show in it, and what
// hides that.
#pragma once

#include <string>
#include <vector>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Real descriptors (not O_PATH), uppermost first.
struct PartFds {
  std::vector<UniqueFd> tiers;
  std::vector<UniqueFd> lower;
};

// The parts of the directory `name` in the directories `lower`, as far down as they merge: the
// first that is not a directory, a whiteout or an opaque directory ends it. Empty when they show no
// directory of that name.
[[nodiscard]] Result<std::vector<UniqueFd>> LowerDirectories(const std::vector<UniqueFd>& lower, const char* name);

// Whether anything beneath is in no tier.
[[nodiscard]] Result<bool> ShowsLowerOnly(const PartFds& parts);
// Puts whiteouts for all that the lower parts would show beneath, where no tier has an entry of
// that name; into the part of `home` (an index into the tiers), further down into the first part
// that is there. The directories keep their dates.
[[nodiscard]] Status HideLower(const PartFds& parts, std::size_t home);
// Removes the whiteouts beneath that hide nothing. The directories keep their dates.
[[nodiscard]] Status DropStrayWhiteoutsBeneath(const PartFds& parts);

}  // namespace tierfs
