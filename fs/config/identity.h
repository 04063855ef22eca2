// Identity marks. By them a mount recognises that a tier directory is its own and that the disk
// beneath it is mounted.
//
// The mark is the xattr trusted.tierfs.mark on each tier's root directory (user.tierfs.mark without
// privilege). It is plain text: NAME/TIER/ID. The id is a random number shared by the four tiers.
// The mark is not a file in the tree, so a backup of the tree does not contain it as one.
#pragma once

#include <string>
#include <vector>

#include "fs/config/config.h"

namespace tierfs {

struct InitStep {
  std::string what;  // as text for the user: "make /srv/x/tier1"
};

// Makes missing tier directories and the state directory, and marks the tiers. Idempotent. Refuses
// tiers that are the same or nested, and a directory marked for another mount or tier. Refuses a
// directory that already holds files unless `adopt`. If only some tiers are marked, the disk of the
// others may not be mounted; that too is refused unless `adopt`. With `dry_run` nothing is changed.
// Returns the steps that were, or would be, done.
[[nodiscard]] ConfigResult<std::vector<InitStep>> InitTiers(const Config& config, bool adopt, bool dry_run);

// Returns the command, for a message to the user, that makes and marks what is missing as things
// stand: with --adopt where plain `tierctl init` would refuse.
[[nodiscard]] std::string InitCommand(const Config& config);

// Checks that every tier has its mark: this mount's name, its own number, and one id on all four.
[[nodiscard]] ConfigResult<void> CheckIdentity(const Config& config);

}  // namespace tierfs
