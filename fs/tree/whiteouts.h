// Hiding and showing lower entries.
#pragma once

#include <functional>

#include "fs/tree/change_reporter.h"
#include "fs/tree/classifier.h"
#include "fs/tree/directories.h"

namespace tierfs {

// At every instant a name is either hidden or shows the new content: before a whiteout goes,
// another tier holds one (the shield), because nothing temporary may stand in a tree, and neither a
// link nor a node nor a directory can replace a whiteout in one step. A whiteout in any tier hides
// every lower layer, here as in the kernel's overlayfs. Owns nothing. Callers hold the topology.
class Whiteouts {
 public:
  Whiteouts(const LayerSet& layers, Classifier& classifier, Directories& directories, ChangeReporter& reporter)
      : layers_(layers), classifier_(classifier), directories_(directories), reporter_(reporter) {}

  // Frees the name in `tier` of its whiteout. The tiers whose whiteouts are to be removed once the
  // new entry stands.
  [[nodiscard]] Result<LayerMask> ClearForCreation(const NodePtr& parent, const char* name, LayerIndex tier, LayerMask whiteouts,
                                                   bool is_dir);
  [[nodiscard]] Status Remove(const NodePtr& parent, const char* name, LayerMask tiers);
  // Fills a new directory, made in `tier_dir` where lower layers have one of that name, with a
  // whiteout for each lower entry.
  [[nodiscard]] Status HideLowerEntries(const NodePtr& parent, const char* name, int tier_dir);
  // Runs `remove`, which takes the entry out of the tiers `holding`, and leaves a whiteout in the
  // class tier.
  [[nodiscard]] Status Hide(const NodePtr& parent, const char* name, LayerMask holding, bool is_dir, const std::function<Status()>& remove);
  // Puts whiteouts into the directory for what the lower layers would show in it at `place`.
  [[nodiscard]] Status HideBeneath(const NodePtr& directory, const Side& place);
  // Removes the whiteouts beneath the directory that hide nothing.
  [[nodiscard]] Status DropStray(const NodePtr& directory);
  // A tier for a whiteout, of those that are not `busy` with an entry of the name; kNoLayer when
  // all are.
  [[nodiscard]] static LayerIndex ShieldFor(LayerMask busy);

 private:
  [[nodiscard]] Status Put(const NodePtr& parent, const char* name, LayerIndex tier);
  // A whiteout on another disk is there for good before what it stands in for goes.
  [[nodiscard]] Status SyncBefore(const NodePtr& parent, LayerIndex whiteout, LayerMask going);

  const LayerSet& layers_;
  Classifier& classifier_;
  Directories& directories_;
  ChangeReporter& reporter_;
};

}  // namespace tierfs
