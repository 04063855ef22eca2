// Creates and removes names in the merged view. Each new name is made in its class tier.
#pragma once

#include <functional>

#include "fs/os/caller.h"
#include "fs/tree/copies.h"
#include "fs/tree/whiteouts.h"

namespace tierfs {

// Owns nothing. Callers hold no lock, except where REQUIRES names one. A change is durable once the
// directory is fsynced, as on the backing file system. The kernel locks a directory during these
// operations and during a rename, so two of them never run in one directory.
class Names {
 public:
  Names(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, MergedView& view,
        ChangeReporter& reporter, Whiteouts& whiteouts, Copies& copies, OpenFiles& open_files, SettleQueue& settle_queue,
        Topology& topology, const Answers& answers)
      : layers_(layers),
        nodes_(nodes),
        classifier_(classifier),
        directories_(directories),
        view_(view),
        reporter_(reporter),
        whiteouts_(whiteouts),
        copies_(copies),
        open_files_(open_files),
        settle_queue_(settle_queue),
        topology_(topology),
        answers_(answers) {}

  // --- create.cc
  [[nodiscard]] Result<Entry> MakeNode(const Caller& caller, NodeId parent, const char* name, mode_t mode, dev_t device);
  [[nodiscard]] Result<Entry> MakeDirectory(const Caller& caller, NodeId parent, const char* name, mode_t mode);
  [[nodiscard]] Result<Entry> MakeSymlink(const Caller& caller, NodeId parent, const char* name, const char* target);
  [[nodiscard]] Result<Entry> Link(NodeId node, NodeId parent, const char* name);
  [[nodiscard]] Result<CreatedFile> Create(const Caller& caller, NodeId parent, const char* name, mode_t mode, int flags);
  [[nodiscard]] Result<CreatedFile> CreateTemporary(const Caller& caller, NodeId parent, mode_t mode, int flags);

  // --- remove.cc
  // A lower file with other names is copied up first (Copies::SharesLowerFile).
  [[nodiscard]] Status Unlink(NodeId parent, const char* name);
  [[nodiscard]] Status RemoveDirectory(NodeId parent, const char* name);
  // Keeps the node of a file reachable before the file loses the name `name` in `dir`.
  [[nodiscard]] static Status Pin(const NodePtr& node, int dir, const char* name) REQUIRES(node->mutex);
  // EPERM if the entry or its directory is immutable or append-only in the view of the user. The
  // kernel does not see that when a whiteout takes the place of a lower entry.
  [[nodiscard]] Status MayRemove(const Side& there);
  // Must be called after the name of a pinned node is gone.
  void NameGone(const NodePtr& node, const NodePtr& parent, const char* name) REQUIRES(node->mutex);

 private:
  // Where a new entry was made.
  struct Made {
    LayerIndex layer;
    DirFd dir;
  };
  // Runs `make` on the part of the parent in `tier`. Removes and adds whiteouts so that only the
  // new entry shows at the name. EEXIST when the name exists.
  [[nodiscard]] Result<Made> MakeIn(LayerIndex tier, const NodePtr& parent, const char* name, bool is_dir,
                                    const std::function<Status(int dir)>& make);
  [[nodiscard]] Result<Entry> MadeEntry(const NodePtr& parent, const char* name, const Made& made);
  // Makes a handle for a new file. On failure, gives back the reference of the node.
  [[nodiscard]] Result<CreatedFile> OpenMade(const NodePtr& node, const struct stat& st, UniqueFd fd, int flags) REQUIRES(node->mutex);
  // Removes the name, or returns the node that has to be copied up first.
  [[nodiscard]] Result<NodePtr> TryUnlink(NodeId parent, const char* name);
  // Removes a file from its tier and reports it. No lower entry shows at the name afterwards.
  [[nodiscard]] Status RemoveFile(const Side& there);
  // Removes the parts of an empty directory in the same way.
  [[nodiscard]] Status RemoveParts(const Side& there);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  MergedView& view_;
  ChangeReporter& reporter_;
  Whiteouts& whiteouts_;
  Copies& copies_;
  OpenFiles& open_files_;
  SettleQueue& settle_queue_;
  Topology& topology_;
  const Answers& answers_;
};

}  // namespace tierfs
