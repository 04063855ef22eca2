// The single steps of a rename, a move or an exchange.
#pragma once

#include "fs/os/result.h"
#include "fs/tier/intent.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Does one step. Both names are single components. Atomic, except kRemove of a directory that holds
// whiteouts.
[[nodiscard]] Status Do(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Undoes a step that Do has done; a published copy is removed. ENOTSUP when the step cannot be
// undone, as a removed entry is gone. Must not be called for a step that replaced an entry.
[[nodiscard]] Status Undo(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Finishes an operation that was under way when the last daemon of this mount ended. If any step
// that puts an entry into its place has been done, does the remaining steps in order, each durably.
// Otherwise nothing has happened, and nothing is done. EINVAL when the intent names an unknown
// layer.
[[nodiscard]] Status FinishIntent(const LayerSet& layers, const Intent& intent);

}  // namespace tierfs
