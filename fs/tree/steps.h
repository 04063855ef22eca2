// The single changes that a rename, a move or an exchange is made of.
#pragma once

#include <string>
#include <vector>

#include "fs/catalog/intent.h"
#include "fs/os/result.h"
#include "fs/tree/node.h"

namespace tierfs {

// A step whose directories are nodes of the view; Step is how it is written down. Of kPublish only the target is in the view: `layer` and
// `name` are of the work directory.
struct Action {
  Step::Kind kind;
  LayerIndex layer;
  NodePtr parent;
  std::string name;
  LayerIndex to_layer = kNoLayer;
  NodePtr to_parent = nullptr;
  std::string to_name = {};
};

// One step; both names are single components. Atomic, but for kRemove of a directory that holds whiteouts.
[[nodiscard]] Status Do(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Takes a step back that Do has done. ENOTSUP for what cannot be taken back: what was removed is gone. Not for a step that replaced
// something. A published copy is gone then.
[[nodiscard]] Status Undo(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name);

// Finishes an operation that was under way when the last daemon of this mount ended: all its steps are done, in order, when any of those
// that put something into its place has been; otherwise nothing has happened, and nothing does.
[[nodiscard]] Status FinishIntent(const LayerSet& layers, const Intent& intent);

}  // namespace tierfs
