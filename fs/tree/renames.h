// Renaming and exchanging, whatever tiers are involved.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "fs/tree/names.h"
#include "fs/tree/transactions.h"

namespace tierfs {

// A file belongs to the tier of its new path at once. One rename between the trees does it where
// both are on one mount. Otherwise a copy, made and durable before anything changes, takes the new
// place and the old file goes. A file that is open, or has other names, is renamed within its tier
// instead, so that no descriptor loses sight of what another one writes; an open one follows at its
// last close. So does one that is closed and still mapped for writing.
//
// A directory is renamed in each tier that has a part of it, with the topology locked exclusively.
// What is in lower layers alone is copied up before; at the new place whiteouts hide what lower
// layers have there.
//
// Owns nothing.
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

  // `flags` of renameat2(2): RENAME_NOREPLACE, RENAME_EXCHANGE.
  [[nodiscard]] Status Rename(NodeId from, const char* from_name, NodeId to, const char* to_name, unsigned flags);

 private:
  // One rename, through all its attempts.
  struct Request {
    NodeId from;
    const char* from_name;
    NodeId to;
    const char* to_name;
    bool exchange;
    bool replace;
    std::optional<Staged> copy;  // for another mount
    bool mapped = false;         // a mapping writes to the file, which therefore cannot be copied
  };
  enum class Attempt : std::uint8_t {
    kDone,
    kLookAgain,  // something was moved meanwhile
    kExclusive,  // a directory moves: with the topology locked exclusively
    kCopyUp,     // `node` is in no tier, or something beneath it
    kCopyFirst,  // to another mount: Request::copy is to be filled
  };
  struct Tried {
    Attempt attempt;
    NodePtr node;  // that has to be copied first
  };
  struct Sides {
    Side source;
    Side target;
    std::uint64_t generation;
    [[nodiscard]] bool Directories(bool exchange) const { return source.found.IsDir() || (exchange && target.found.IsDir()); }
  };

  // One attempt with the topology held: exclusively when `exclusive`.
  [[nodiscard]] Result<Tried> Try(Request& request, bool exclusive);
  [[nodiscard]] Result<Sides> Find(const Request& request);
  // The errors that rename(2) has for what stands at the two names.
  [[nodiscard]] Status MayRename(const Request& request, const Sides& sides);
  // What is in no tier has to get there first.
  [[nodiscard]] Result<NodePtr> NeedsCopyUp(const Request& request, const Sides& sides);
  [[nodiscard]] Status CopyFirst(Request& request, const NodePtr& node);
  // Reports every layer that an entry or a whiteout of either name is in, or comes into.
  void Report(const Sides& sides);

  // --- rename_file.cc
  [[nodiscard]] Result<Attempt> RenameFile(const Sides& sides, Request& request);
  [[nodiscard]] Result<Attempt> ExchangeFiles(const Sides& sides);
  // How a file gets to its new place.
  struct Plan {
    LayerIndex home;   // where it is
    LayerIndex tier;   // where its new path belongs
    LayerIndex place;  // where it goes
    bool publish;      // by a copy
  };
  [[nodiscard]] Result<std::vector<Action>> ActionsOf(const Sides& sides, const Plan& plan, const Request& request);
  [[nodiscard]] Status Move(const NodePtr& node, const Sides& sides, const Plan& plan, const std::vector<Action>& actions, Request& request)
      REQUIRES(node->mutex);

  // --- rename_directory.cc
  [[nodiscard]] Status RenameDirectory(const Side& source, const Side& target);
  [[nodiscard]] Status ExchangeTrees(const Side& source, const Side& target);
  [[nodiscard]] std::vector<Action> DirectoryActions(const Side& source, const Side& target, bool lower_target) const;
  // Once the parts stand at their new place: nothing may fail the rename any more.
  void FinishDirectory(const NodePtr& node, const Side& place, LayerMask parts, bool lower);
  // After it stands at its new place: what the nodes beneath merge.
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
