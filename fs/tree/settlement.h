// Settling: moves a file that is in another tier to its class tier.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/tree/copies.h"
#include "fs/tree/settle_queue.h"
#include "fs/tree/settling.h"
#include "fs/tree/transactions.h"

namespace tierfs {

// Owns nothing. Callers hold no lock. Moves a file by one rename if both tiers are on one mount,
// else by a journalled copy. A file that would have to be copied stays if it is open or has several
// names. An open file moves at its last close. May run beside any other operation.
class Settlement {
 public:
  Settlement(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, MergedView& view,
             ChangeReporter& reporter, Copies& copies, Transactions& transactions, SettleQueue& settle_queue, Topology& topology)
      : layers_(layers),
        nodes_(nodes),
        classifier_(classifier),
        directories_(directories),
        view_(view),
        reporter_(reporter),
        copies_(copies),
        transactions_(transactions),
        settle_queue_(settle_queue),
        topology_(topology) {}

  void Attach(Kernel* kernel) { kernel_ = kernel; }

  // Settles the misplaced files at `path` and beneath it. `path` is relative to the mount; "" means
  // everything. A dry run counts the files that would move. ENOENT when there is no such path.
  [[nodiscard]] Status Settle(const std::string& path, bool dry_run, Settling& settling);

 private:
  // One run of Settle.
  struct Run {
    const bool dry_run;
    Settling& settling;
  };
  // A file on its way to its class tier.
  struct Move {
    const NodePtr& parent;
    const std::string& name;
    Found found;
    LayerIndex from;
    LayerIndex home;
  };
  enum class Attempt : std::uint8_t { kDone, kCopyFirst };

  void SettleDirectory(const NodePtr& directory, const Run& run);
  // Adds `name` to `beneath` if it is a directory.
  [[nodiscard]] Status SettleEntry(const NodePtr& parent, const std::string& name, const Run& run, std::vector<std::string>& beneath);
  [[nodiscard]] Status SettleFile(const NodePtr& parent, const std::string& name, const NodePtr& node, const Run& run);
  // Fills `move` with the result of the lookup. `copy` may come from an earlier attempt.
  [[nodiscard]] Result<Attempt> TryFile(const NodePtr& node, Move& move, std::optional<Staged>& copy, const Run& run) EXCLUDES(node->mutex);
  [[nodiscard]] Status MoveWithinMount(const NodePtr& node, const Move& move) REQUIRES(node->mutex);
  [[nodiscard]] Status PublishCopy(const NodePtr& node, const Move& move, Staged& copy) REQUIRES(node->mutex);
  // Removes the empty parts of a directory from tiers other than its class tier.
  void PruneParts(const NodePtr& directory);
  [[nodiscard]] LayerMask PrunableParts(const NodePtr& directory);
  void PrunePart(const NodePtr& directory, LayerIndex layer);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  MergedView& view_;
  ChangeReporter& reporter_;
  Copies& copies_;
  Transactions& transactions_;
  SettleQueue& settle_queue_;
  Topology& topology_;
  Kernel* kernel_ = nullptr;
};

}  // namespace tierfs
