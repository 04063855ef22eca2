// The merged namespace: four tier trees over lower layers, shown as one. Each operation of the file
// system is one function here.
//
// Locks, in the order in which they are taken:
//   Copies' keyed mutex   one file's turn to be copied up; taken with nothing else held.
//   Topology              shared by every operation that walks paths; exclusive while a directory
//                         moves.
//   Node::mutex           the open state, placement and attributes of one node; of two nodes, the
//                         lower number first.
//   Directories' growth   a directory gains a part in a tier, or its attributes change in all its
//                         parts.
//   KeepTime's mutex      the date of a directory is restored.
//   NodeFinder's mutex    an index of names is made; taken with nothing else held.
//   leaf mutexes          NodeTable, DirCache, HandleTable, SettleQueue, Classifier: no other lock
//                         is taken while one is held, except NodeTable's by SettleQueue.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fs/tree/inodes.h"
#include "fs/tree/names.h"
#include "fs/tree/node_finder.h"
#include "fs/tree/renames.h"
#include "fs/tree/settlement.h"

namespace tierfs {

// A facade: owns the parts and connects them. Each part states the contracts of its operations.
class Tree {
 public:
  Tree(LayerSet layers, std::shared_ptr<const policy::Policy> policy, TreeOptions options);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  // Must be called before the first request. `kernel` must outlive the last request.
  void Attach(Kernel* kernel);

  // Names.
  [[nodiscard]] Result<Entry> Lookup(NodeId parent, const char* name);
  // Whether a lookup may have to search the layers.
  [[nodiscard]] static bool LookupSearches(const char* name) { return std::string_view(name) == "."; }
  void Forget(NodeId node, std::uint64_t count) { nodes_.Forget(node, count); }
  [[nodiscard]] Result<std::vector<DirectoryEntry>> List(NodeId directory) { return view_.List(directory); }
  [[nodiscard]] Status SyncDirectory(NodeId directory) { return view_.SyncDirectory(directory); }
  [[nodiscard]] Names& names() { return names_; }
  [[nodiscard]] Status Rename(NodeId from, const char* from_name, NodeId to, const char* to_name, unsigned flags) {
    return renames_.Rename(from, from_name, to, to_name, flags);
  }
  // Whether a rename may begin with a copy of a file, and whether the removal of a name in the
  // directory or a change of the node does.
  [[nodiscard]] bool RenamesMayCopy() const { return layers_.MakesCopies(); }
  [[nodiscard]] bool RemovalsMayCopy(NodeId directory) const {
    const NodePtr node = nodes_.Get(directory);
    return node && !node->Parts().InLower().Empty();
  }
  [[nodiscard]] bool HasToBeCopiedUp(NodeId node) const { return copies_.HasToBeCopiedUp(node); }

  // Inodes.
  [[nodiscard]] Inodes& inodes() { return inodes_; }

  // Open files.
  [[nodiscard]] Result<Opened> Open(const Caller& caller, NodeId node, int flags);
  void Release(HandleId handle) { open_files_.Release(handle); }
  [[nodiscard]] Status ChangeContent(const std::optional<Caller>& caller, HandleId handle, off_t offset, off_t length,
                                     const OpenFiles::Change& change) {
    return open_files_.ChangeContent(caller, handle, offset, length, change);
  }
  [[nodiscard]] std::shared_ptr<OpenFile> FileOf(HandleId handle) { return open_files_.Get(handle); }
  [[nodiscard]] bool WantsPassthrough() const { return open_files_.WantsPassthrough(); }
  void ReportWriters() { open_files_.ReportWriters(); }
  void ForEachWriter(const std::function<void(int file)>& visit) { open_files_.ForEachWriter(visit); }
  [[nodiscard]] std::set<std::string> WrittenIn(LayerIndex layer) { return open_files_.WrittenIn(layer); }
  // See OpenFiles::WriteBackMapped.
  std::size_t WriteBackMapped() { return open_files_.WriteBackMapped(); }

  // Runs `moment` while no other operation runs; new ones wait. Returns false, and does not run it,
  // if the operations that run do not end within `limit`. Reads and writes of open files go on.
  [[nodiscard]] bool AtAnInstant(std::chrono::milliseconds limit, const std::function<void()>& moment);

  // For the operator.
  [[nodiscard]] Classifier& classifier() { return classifier_; }
  [[nodiscard]] Settlement& settlement() { return settlement_; }
  [[nodiscard]] SettleQueue& settle_queue() { return settle_queue_; }
  // Drops all caches of the kernel and of the daemon, so that changes made underneath are seen at
  // once. Returns the number of nodes.
  std::size_t DropCaches();
  struct Counters {
    std::size_t nodes = 0;
    OpenFiles::Count open;
  };
  [[nodiscard]] Counters Count() const { return {nodes_.size(), open_files_.CountHandles()}; }
  [[nodiscard]] const LayerSet& layers() const { return layers_; }
  // The first layer that holds the node; kNoLayer if the kernel knows no such node.
  [[nodiscard]] LayerIndex LayerOfNode(NodeId id) const {
    const NodePtr node = nodes_.Get(id);
    return node ? node->Parts().First() : kNoLayer;
  }

 private:
  const LayerSet layers_;
  const Answers answers_;
  Kernel* kernel_ = nullptr;
  Topology topology_;
  NodeTable nodes_;
  Classifier classifier_;
  ChangeReporter reporter_;
  Directories directories_;
  MergedView view_;
  NodeFinder finder_;
  Whiteouts whiteouts_;
  Transactions transactions_;
  SettleQueue settle_queue_;
  OpenFiles open_files_;
  Copies copies_;
  Names names_;
  Renames renames_;
  Settlement settlement_;
  Inodes inodes_;
};

}  // namespace tierfs
