// Reports changes of the tree to the change feed.
#pragma once

#include <string>

#include "fs/tier/feed.h"
#include "fs/tree/found.h"
#include "fs/tree/linked_files.h"
#include "fs/tree/node_table.h"

namespace tierfs {

// Owns the list of files whose other names may be tracked. A report comes after its change and
// names the layers that the change may have touched. If none of them is tracked, a report costs one
// comparison. Thread-safe; no lock is needed.
class ChangeReporter {
 public:
  ChangeReporter(const LayerSet& layers, const NodeTable& nodes, Feed& feed) : layers_(layers), nodes_(nodes), feed_(feed) {}

  // The entry `name` in `parent` changed in each of the layers.
  void Report(LayerMask layers, const NodePtr& parent, const std::string& name, Feed::Change change);
  // The node changed under all its names.
  void ReportNode(const Node& node, Feed::Change change);
  // The file is open for writing from now on.
  void ReportOpening(const Node& node);
  // A file lost or got a name: reports the change of its other names. The name itself leads
  // nowhere, or to another file.
  void ReportOtherNames(const Found& found, Feed::Change change);
  // A mapping that writes to the file may live on. `reader` is open for reading.
  void ReportMapped(UniqueFd reader) { feed_.MayBeMapped(std::move(reader)); }

  // Must be called whenever a file with several names is seen, or gets a name, in a layer.
  void RememberLinks(const BackingKey& key, const struct stat& st, LayerIndex layer);

  // Whether a report of the node reaches the feed.
  [[nodiscard]] bool Tracks(const Node& node) const;
  // Whether a file in the layer is tracked, or may become tracked by a rename.
  [[nodiscard]] bool MayTrack(LayerIndex layer) const;

 private:
  [[nodiscard]] LayerMask Tracked(LayerMask layers) const { return LayerMask(layers.bits() & feed_.tracked().bits()); }
  // Whether the layer is untracked, and its files may have names in a tracked layer.
  [[nodiscard]] bool MayBeTrackedElsewhere(LayerIndex layer) const;

  const LayerSet& layers_;
  const NodeTable& nodes_;
  Feed& feed_;
  LinkedFiles linked_;
};

}  // namespace tierfs
