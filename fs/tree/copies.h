// Copies of files: copy-up of a lower file into its class tier under the same inode number, and
// copies of files that move to another mount.
#pragma once

#include "fs/os/copy.h"
#include "fs/tier/work_file.h"
#include "fs/tree/keyed_mutex.h"
#include "fs/tree/lower_links.h"
#include "fs/tree/merged_view.h"
#include "fs/tree/open_files.h"
#include "fs/tree/transactions.h"

namespace tierfs {

// A finished copy of a file that is not published yet.
struct Staged {
  WorkFile file;
  NodePtr node;
  BackingKey source;
  std::uint32_t changes;  // Node::changes when the copy began
  LayerIndex tier;        // the tier that the copy is for
};

// Owns the index of the lower hard links, and one mutex for each file that is being copied up, so
// that two writers copy it once. That
// mutex is taken with no other lock held. Data is copied with no other lock held; the place of the
// file and its count of changes are compared afterwards.
class Copies {
 public:
  Copies(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, MergedView& view,
         ChangeReporter& reporter, Transactions& transactions, OpenFiles& open_files, Topology& topology)
      : layers_(layers),
        nodes_(nodes),
        classifier_(classifier),
        directories_(directories),
        view_(view),
        reporter_(reporter),
        transactions_(transactions),
        open_files_(open_files),
        topology_(topology),
        lower_links_(layers) {}

  // Copies the first `limit` bytes of a file and its attributes, durably. The caller holds no lock.
  // For a file in a tier: EBUSY when it is open, or was open a moment ago; ETXTBSY when a mapping
  // still writes to it. ESTALE when the file was replaced underneath.
  [[nodiscard]] Result<Staged> Stage(const NodePtr& node, LayerIndex tier, off_t limit = kAllData) EXCLUDES(node->mutex);
  // Whether `copy` is a copy of the node, and the file has not changed since.
  [[nodiscard]] bool IsCurrent(const Staged& copy, const NodePtr& node) const REQUIRES(node->mutex);
  // Whether a copy may take the place of the file: it is not open, and it has one name.
  [[nodiscard]] static bool MayTakeThePlaceOf(const Node& node, const struct stat& st) REQUIRES(node.mutex) {
    return !node.open.Any() && st.st_nlink == 1;
  }

  // Makes sure that the node is in a tier. Copies a lower file as Stage does, or makes a lower
  // directory in its class tier. A file of several names is copied up at all the names that show,
  // as one file, in the best protected of their class tiers. The caller holds no lock.
  [[nodiscard]] Status CopyUp(const NodePtr& node, off_t limit = kAllData) EXCLUDES(node->mutex);
  // Copies up the directory and everything beneath it. The caller holds no lock.
  [[nodiscard]] Status CopyUpBeneath(const NodePtr& directory);
  // Whether a change of the node begins with the copy-up of a file.
  [[nodiscard]] bool HasToBeCopiedUp(NodeId node) const;
  // Whether the file is in a lower layer and has other names. Before it loses a name it must be
  // copied up: its link count changes, and a lower layer does not.
  [[nodiscard]] static bool SharesLowerFile(const Found& found) {
    return found.Exists() && !found.IsDir() && !IsTier(found.Layer()) && found.st.st_nlink > 1;
  }
  // Must be called when lower layers may have been changed underneath.
  void ForgetLowerLinks() { lower_links_.Forget(); }

 private:
  class Names;
  // The names that the file may have: the one that the node has, and those in the lower layers.
  [[nodiscard]] Result<Names> NamesOf(const NodePtr& node);
  // The names that show the file `key` now, each with its class tier. The caller holds the
  // topology.
  [[nodiscard]] Result<std::vector<NodeTable::Copied>> Showing(const Names& names, const BackingKey& key);
  [[nodiscard]] Result<bool> Publish(const NodePtr& node, const Names& names, Staged& copy) EXCLUDES(node->mutex);
  [[nodiscard]] Status PublishAt(const NodePtr& node, std::vector<NodeTable::Copied> places, Staged& copy) REQUIRES(node->mutex);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  MergedView& view_;
  ChangeReporter& reporter_;
  Transactions& transactions_;
  OpenFiles& open_files_;
  Topology& topology_;
  LowerLinks lower_links_;
  KeyedMutex copying_up_;
};

}  // namespace tierfs
