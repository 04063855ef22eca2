// What the change feed is told.
#pragma once

#include <string>

#include "fs/tier/feed.h"
#include "fs/tree/found.h"
#include "fs/tree/linked_files.h"
#include "fs/tree/node_table.h"

namespace tierfs {

// Owns the list of files whose other names may be tracked. Each report comes after the change, with
// the layers that it may have touched. Where nobody tracks those a report costs one comparison.
// Thread-safe; no lock is needed.
class ChangeReporter {
 public:
  ChangeReporter(const LayerSet& layers, const NodeTable& nodes, Feed& feed) : layers_(layers), nodes_(nodes), feed_(feed) {}

  // The entry `name` in `parent` changed, in each of the layers.
  void Report(LayerMask layers, const NodePtr& parent, const std::string& name, Feed::Change change);
  // The node changed, under every name that it has.
  void ReportNode(const Node& node, Feed::Change change);
  // A file lost or got a name: the change of its other names. The name itself leads nowhere, or to
  // another file.
  void ReportOtherNames(const Found& found, Feed::Change change);
  // A mapping may live on that writes to the file. `reader` is open for reading.
  void ReportMapped(UniqueFd reader) { feed_.MayBeMapped(std::move(reader)); }

  // To be called whenever a file with several names is seen, or gets a name, in a layer.
  void RememberLinks(const BackingKey& key, const struct stat& st, LayerIndex layer);

  // Whether a report of the node reaches the feed.
  [[nodiscard]] bool Tracks(const Node& node) const;
  // Whether a file in the layer is tracked, or may become so by a rename.
  [[nodiscard]] bool MayTrack(LayerIndex layer) const;

 private:
  [[nodiscard]] LayerMask Tracked(LayerMask layers) const { return LayerMask(layers.bits() & feed_.tracked().bits()); }
  // Whether a file of a layer that is not tracked may have a name in one that is.
  [[nodiscard]] bool MayBeTrackedElsewhere(LayerIndex layer) const;

  const LayerSet& layers_;
  const NodeTable& nodes_;
  Feed& feed_;
  LinkedFiles linked_;
};

}  // namespace tierfs
