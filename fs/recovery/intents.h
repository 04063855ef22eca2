#pragma once

#include <vector>

#include "fs/tier/journal.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Finishes or undoes the operations that the journal finds open, before the feed looks at the trees and before the mount answers. What was
// to be settled is for the mount once it stands.
[[nodiscard]] std::vector<SettleTask> FinishIntents(const LayerSet& layers, Journal& journal);

}  // namespace tierfs
