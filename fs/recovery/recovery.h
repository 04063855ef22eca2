// How a mount recovers before it serves requests, in this order:
//   1. HealTrees, when the last daemon was killed: gives directories that were being cloned into a
//      tier their attributes, and removes whiteouts that were temporary shields.
//   2. PrepareWorkDirectories: opens the directories of copies that may not be published yet.
//   3. FinishIntents: finishes the multi-step operations that are open in the journal. An operation
//      that had not begun leaves no trace. Copies that were never published are removed.
//   4. Catalog::Start: the change feed compares the trees with the catalogue. Only requests change
//      the trees from then on.
// Settling that was interrupted goes on beside the requests (SettleQueue::Resume).
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/tier/journal.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Repairs the trees after the last daemon was killed. Logs the number of repaired entries, or the
// error.
void HealTrees(const LayerSet& layers);

struct WorkProblem {
  LayerIndex tier;
  Error error;  // EXDEV: the tier is the root of its mount, so nothing can be beside it
};
// Opens or makes each tier's work directory. Does nothing when files are never copied into tiers.
[[nodiscard]] tl::expected<void, WorkProblem> PrepareWorkDirectories(LayerSet& layers, const std::string& state);

// Finishes or undoes each operation that is open in the journal, and logs it. Then empties the work
// directories, unless an operation that could not be finished may need a copy. Returns the paths
// that still have to be settled; the mount settles them once it serves requests.
[[nodiscard]] std::vector<SettleTask> FinishIntents(const LayerSet& layers, Journal& journal);

}  // namespace tierfs
