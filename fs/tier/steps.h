// The single changes that a rename, a move or an exchange is made of.
#pragma once

#include "fs/os/result.h"
#include "fs/tier/intent.h"
#include "fs/tier/layer.h"

namespace tierfs {

// One step; both names are single components. Atomic, but for kRemove of a directory that holds
// whiteouts.
[[nodiscard]] Status Do(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Takes a step back that Do has done. ENOTSUP for what cannot be taken back: what was removed is
// gone. Not for a step that replaced something. A published copy is gone then.
[[nodiscard]] Status Undo(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Finishes an operation that was under way when the last daemon of this mount ended: all its steps
// are done, in order, when any of those that put something into its place has been; otherwise
// nothing has happened, and nothing does.
[[nodiscard]] Status FinishIntent(const LayerSet& layers, const Intent& intent);

}  // namespace tierfs
