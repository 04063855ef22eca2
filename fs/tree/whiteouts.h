// Hides and shows lower entries.
#pragma once

#include <functional>

#include "fs/tree/change_reporter.h"
#include "fs/tree/classifier.h"
#include "fs/tree/directories.h"

namespace tierfs {

// Owns nothing. Callers hold the topology.
//
// At every instant a name is either hidden or shows its new content. Before a whiteout is removed,
// another tier therefore holds one, the shield. There is no other way: nothing temporary may be in
// a tree, and neither a link nor a node nor a directory can replace a whiteout in one step. A
// whiteout in any tier hides every lower layer, as in the kernel's overlayfs.
class Whiteouts {
 public:
  Whiteouts(const LayerSet& layers, Classifier& classifier, Directories& directories, ChangeReporter& reporter)
      : layers_(layers), classifier_(classifier), directories_(directories), reporter_(reporter) {}

  // Removes the whiteout of the name from `tier`. Returns the tiers whose whiteouts must be removed
  // once the new entry is in place.
  [[nodiscard]] Result<LayerMask> ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier, LayerMask whiteouts,
                                                   bool is_dir);
  [[nodiscard]] Status Remove(const NodePtr& parent, const char* name, LayerMask tiers);
  // Puts a whiteout for each lower entry into a new directory. The directory was made in
  // `tier_dir`, and lower layers have one of the same name.
  [[nodiscard]] Status HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir);
  // Runs `remove`, which removes the entry from the tiers `holding`, and leaves a whiteout in the
  // class tier. EBUSY when every tier holds an entry of the name.
  [[nodiscard]] Status Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir, const std::function<Status()>& remove);
  // Puts whiteouts into the directory for the entries that the lower layers would show in it at
  // `place`.
  [[nodiscard]] Status HideBeneath(const NodePtr& directory, const Side& place);
  // Removes the whiteouts beneath the directory that hide nothing.
  [[nodiscard]] Status DropStray(const NodePtr& directory);
  // A tier for a whiteout that is not `busy` with an entry of the name; kNoLayer when all are.
  [[nodiscard]] static LayerIndex ShieldFor(LayerMask busy);

 private:
  [[nodiscard]] Status Put(const NodePtr& parent, const char* name, LayerIndex tier);
  // Makes a whiteout durable before the entries that it replaces, in the layers `going`, are
  // removed. Does nothing if they are all on the same mount as the whiteout.
  [[nodiscard]] Status SyncBefore(const NodePtr& parent, LayerIndex whiteout, LayerMask going);

  const LayerSet& layers_;
  Classifier& classifier_;
  Directories& directories_;
  ChangeReporter& reporter_;
};

}  // namespace tierfs
