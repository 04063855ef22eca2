// A directory of the merged view, given by descriptors of its parts: the lower entries that show in
// it, and the whiteouts that hide them.
#pragma once

#include <string>
#include <vector>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Descriptors of the parts, not opened with O_PATH, uppermost first.
struct PartFds {
  std::vector<UniqueFd> tiers;
  std::vector<UniqueFd> lower;
};

// Opens the parts of the directory `name` in the directories `lower`, as far down as they merge. An
// opaque directory is the last part; a file or a whiteout ends the search. Empty when `lower` shows
// no directory of that name.
[[nodiscard]] Result<std::vector<UniqueFd>> LowerDirectories(const std::vector<UniqueFd>& lower, const char* name);

// Whether any entry beneath the directory is in no tier.
[[nodiscard]] Result<bool> ShowsLowerOnly(const PartFds& parts);
// Puts a whiteout for each entry beneath that the lower parts would show and no tier holds. The
// whiteouts go into the part `home`, an index into the tiers; further down they go into the first
// tier part. The dates of the directories do not change.
[[nodiscard]] Status HideLower(const PartFds& parts, std::size_t home);
// Removes the whiteouts beneath the directory that hide nothing. The dates of the directories do
// not change.
[[nodiscard]] Status DropStrayWhiteoutsBeneath(const PartFds& parts);

}  // namespace tierfs
