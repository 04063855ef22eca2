// Identity marks: how a mount knows that a tier directory is its own and that the disk beneath it
// is mounted.
#pragma once

#include <string>
#include <vector>

#include "fs/config/config.h"

namespace tierfs {

// The mark is the xattr trusted.tierfs.mark (user.tierfs.mark without privilege) of each tier's
// root directory, plain text: NAME/TIER/ID, the id one random number that the four tiers share. It
// is not a file in the tree, so backups of the tree do not meet it as one.

struct InitStep {
  std::string what;  // for people: "make /srv/x/tier1"
};

// Makes missing tier directories and the state directory and marks the tiers. Idempotent. Refuses
// tiers that are one or nested, a directory that is marked for another mount or tier, and one that
// holds files already unless `adopt`. Where some tiers are marked and some are not, the disk of the
// latter may not be mounted: that is refused too unless `adopt`. With `dry_run` nothing is changed.
// Returns what was (would be) done.
[[nodiscard]] ConfigResult<std::vector<InitStep>> InitTiers(const Config& config, bool adopt, bool dry_run);

// Every tier has its mark, with this mount's name, its own number, and one id on all four.
[[nodiscard]] ConfigResult<void> CheckIdentity(const Config& config);

}  // namespace tierfs
