#include "fs/jobs/misplaced.h"

#include <cstring>

#include "fs/tier/walk.h"

namespace tierfs {

Misplaced CountMisplaced(const Config& config, const policy::Policy& policy, const std::function<void(std::uint64_t seen)>& progress) {
  Misplaced found;
  std::uint64_t seen = 0;
  for (std::size_t tier = 0; tier < kTierCount; ++tier) {
    const Status walked = WalkTree(config.tiers[tier], [&](const WalkedEntry& entry) {
      if (++seen % 10000 == 0) progress(seen);
      if (S_ISDIR(entry.st.st_mode) || entry.whiteout) return;
      const auto home = static_cast<std::size_t>(NumberOf(policy.DecisionFor(entry.path, false).tier) - 1);
      if (home == tier) return;
      Misplaced::Tally& tally = found.moves[tier][home];
      ++tally.files;
      if (S_ISREG(entry.st.st_mode)) tally.bytes += static_cast<std::uint64_t>(entry.st.st_size);
    });
    if (!walked) found.error = config.tiers[tier] + ": " + std::strerror(walked.error().code);
  }
  return found;
}

}  // namespace tierfs
