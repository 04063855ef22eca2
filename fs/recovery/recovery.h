// How a mount heals before it answers, in this order:
//   1. HealTrees, when the last daemon was killed: directories that were being cloned into a tier get their attributes, and whiteouts that
//      shielded a name for a moment go.
//   2. PrepareWorkDirectories: what is left of copies that had no place yet goes.
//   3. FinishIntents: operations of several steps that the journal finds open are finished, or nothing of them has happened.
//   4. The change feed compares the trees with the catalogue (Catalog::Start), once nobody changes them any more but requests.
// What was to be settled goes on beside the requests (SettleQueue::Resume).
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/tier/journal.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Logs what it put right, and what it could not.
void HealTrees(const LayerSet& layers);

struct WorkProblem {
  LayerIndex tier;
  Error error;  // EXDEV: nothing is beside the tier on its file system
};
// Makes or empties the work directory of each tier, where files are ever copied into tiers.
[[nodiscard]] tl::expected<void, WorkProblem> PrepareWorkDirectories(LayerSet& layers, const std::string& state);

// Finishes or undoes the operations that the journal finds open, and logs each. What was to be
// settled is for the mount once it stands.
[[nodiscard]] std::vector<SettleTask> FinishIntents(const LayerSet& layers, Journal& journal);

}  // namespace tierfs
