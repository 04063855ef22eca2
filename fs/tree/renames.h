// Renames and exchanges, across any tiers.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fs/tree/names.h"
#include "fs/tree/transactions.h"

namespace tierfs {

// Owns nothing. Callers hold no lock.
//
// A renamed file belongs to the tier of its new path at once. If both tiers are on one mount, one
// rename moves it. Otherwise a copy is made, durably, before anything changes. The copy takes the
// new place, and the old file is removed. A file that is open or has other names is renamed within
// its tier instead, so that every descriptor keeps seeing the writes of the others. An open file
// moves at its last close. A closed file that is still mapped for writing also waits for its next
// close.
//
// A directory is renamed in each tier that has a part of it, with the topology locked exclusively.
// Entries that are in lower layers alone are copied up first. At the new place, whiteouts hide the
// entries of lower layers.
class Renames {
 public:
  Renames(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, MergedView& view,
          ChangeReporter& reporter, Whiteouts& whiteouts, Copies& copies, Transactions& transactions, Names& names,
          SettleQueue& settle_queue, Topology& topology)
      : layers_(layers),
        nodes_(nodes),
        classifier_(classifier),
        directories_(directories),
        view_(view),
        reporter_(reporter),
        whiteouts_(whiteouts),
        copies_(copies),
        transactions_(transactions),
        names_(names),
        settle_queue_(settle_queue),
        topology_(topology) {}

  // `flags` are those of renameat2(2): RENAME_NOREPLACE and RENAME_EXCHANGE. EINVAL for any other
  // flag.
  [[nodiscard]] Status Rename(NodeId from, const char* from_name, NodeId to, const char* to_name, unsigned flags);

 private:
  // One rename, with all its attempts.
  struct Request {
    NodeId from;
    const char* from_name;
    NodeId to;
    const char* to_name;
    bool exchange;
    bool replace;
    std::optional<Staged> copy;  // for a target on another mount
    bool mapped = false;         // a mapping writes to the file, so it cannot be copied
  };
  enum class Attempt : std::uint8_t {
    kDone,
    kLookAgain,  // an entry moved meanwhile
    kExclusive,  // a directory moves: the topology must be locked exclusively
    kCopyUp,     // `node`, or an entry beneath it, is in no tier
    kCopyFirst,  // the target is on another mount: Request::copy must be filled
  };
  struct Tried {
    Attempt attempt;
    NodePtr node;  // the node that has to be copied first
  };
  struct Sides {
    Side source;
    Side target;
    std::uint64_t generation;
    [[nodiscard]] bool Directories(bool exchange) const { return source.found.IsDir() || (exchange && target.found.IsDir()); }
  };

  // Makes one attempt with the topology held, exclusively if `exclusive`.
  [[nodiscard]] Result<Tried> Try(Request& request, bool exclusive);
  [[nodiscard]] Result<Sides> Find(const Request& request);
  // Returns the error of rename(2) for the entries at the two names, if any.
  [[nodiscard]] Status MayRename(const Request& request, const Sides& sides);
  // The node that must be copied up first; null when there is none.
  [[nodiscard]] Result<NodePtr> NeedsCopyUp(const Request& request, const Sides& sides);
  [[nodiscard]] Status CopyFirst(Request& request, const NodePtr& node);
  // Reports every layer that holds, or will hold, an entry or a whiteout of either name.
  void Report(const Sides& sides);

  // --- rename_file.cc
  [[nodiscard]] Result<Attempt> RenameFile(const Sides& sides, Request& request);
  [[nodiscard]] Result<Attempt> ExchangeFiles(const Sides& sides);
  // How a file gets to its new place.
  struct Plan {
    LayerIndex home;   // the layer that holds it
    LayerIndex tier;   // the class tier of its new path
    LayerIndex place;  // the layer that it goes to
    bool publish;      // a copy goes there
  };
  [[nodiscard]] Result<std::vector<Action>> ActionsOf(const Sides& sides, const Plan& plan, const Request& request);
  [[nodiscard]] Status Move(const NodePtr& node, const Sides& sides, const Plan& plan, const std::vector<Action>& actions, Request& request)
      REQUIRES(node->mutex);

  // --- rename_directory.cc
  [[nodiscard]] Status RenameDirectory(const Side& source, const Side& target);
  [[nodiscard]] Status ExchangeTrees(const Side& source, const Side& target);
  [[nodiscard]] std::vector<Action> DirectoryActions(const Side& source, const Side& target, bool lower_target) const;
  // Finishes a rename once the parts are at their new place. Nothing may fail the rename any more.
  void FinishDirectory(const NodePtr& node, const Side& place, LayerMask parts, bool lower);
  // Updates the parts of the nodes beneath a directory that has moved.
  [[nodiscard]] Status RefreshParts(const NodePtr& directory);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  MergedView& view_;
  ChangeReporter& reporter_;
  Whiteouts& whiteouts_;
  Copies& copies_;
  Transactions& transactions_;
  Names& names_;
  SettleQueue& settle_queue_;
  Topology& topology_;
};

}  // namespace tierfs
