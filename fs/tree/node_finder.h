// Finds the node that a file handle names, after the kernel has forgotten it.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "fs/os/mutex.h"
#include "fs/tier/name_index.h"
#include "fs/tree/merged_view.h"

namespace tierfs {

// A file handle of a mount (name_to_handle_at(2), NFS) holds the number and the generation of a
// node. For a node that the kernel does not have it asks for the name "." in it, and compares the
// generation (fs/fuse/inode.c: fuse_get_dentry).
//
// The number leads to a backing inode, and that to a path: from the kernel's cache of names, else
// from an index of the trees. Neither is trusted. Only a lookup of the path in the merged view
// makes a node, and only if the node has the number asked for. So a handle never opens anything
// that has no name in the view: another directory of the file system, a hidden lower file, a file
// that a copy replaced.
//
// Owns the indexes. Callers hold no lock. While an index is made, other threads that need one wait.
class NodeFinder {
 public:
  NodeFinder(const LayerSet& layers, NodeTable& nodes, ChangeReporter& reporter, Directories& directories, MergedView& view,
             Topology& topology, const Answers& answers, std::chrono::nanoseconds max_age)
      : layers_(layers),
        nodes_(nodes),
        reporter_(reporter),
        directories_(directories),
        view_(view),
        topology_(topology),
        answers_(answers),
        max_age_(max_age) {}

  // These take a reference, as a lookup does. ESTALE when the node has no name left or cannot be
  // found, or when its file system cannot open inodes by number (OpenInode).
  [[nodiscard]] Result<Entry> Find(NodeId id);
  // The directory above a node that the kernel has.
  [[nodiscard]] Result<Entry> FindParent(NodeId id);
  // Must be called when the layers may have changed underneath.
  void DropIndexes() EXCLUDES(mutex_);

 private:
  using Clock = std::chrono::steady_clock;
  using Index = std::shared_ptr<const NameIndex>;
  struct Made {
    Index index;
    Clock::time_point at;
  };

  // The answer for a node that was acquired, or its release.
  [[nodiscard]] Result<Entry> Answer(const NodePtr& node);
  // The node with the number, with a reference. These return null when there is none.
  [[nodiscard]] NodePtr Acquire(NodeId id);
  // At the path of an open file; at its entry `below`, if that is not empty.
  [[nodiscard]] NodePtr AtPathOf(int fd, LayerIndex layer, const std::string& below, NodeId id);
  [[nodiscard]] NodePtr ByIndexes(int fd, const BackingKey& key, NodeId id);
  [[nodiscard]] NodePtr ByIndex(const NameIndex& index, const BackingKey& key, NodeId id);
  // At any name that the inode has in the directory.
  [[nodiscard]] NodePtr InDirectory(int directory, LayerIndex layer, std::uint64_t inode, NodeId id);
  // The path of an open file in the layer. nullopt when it is not beneath it.
  [[nodiscard]] std::optional<std::string> PathIn(LayerIndex layer, int fd) const;
  [[nodiscard]] LayerMask LayersOn(std::uint32_t file_system) const;
  // The index to search after `tried`, for a file that was last changed at `change_time`. Null when
  // a new index would say the same.
  [[nodiscard]] Index IndexAfter(const Index& tried, std::uint32_t file_system, const timespec& change_time) EXCLUDES(mutex_);

  const LayerSet& layers_;
  NodeTable& nodes_;
  ChangeReporter& reporter_;
  Directories& directories_;
  MergedView& view_;
  Topology& topology_;
  const Answers& answers_;
  const std::chrono::nanoseconds max_age_;
  Mutex mutex_;
  std::map<std::uint32_t, Made> indexes_ GUARDED_BY(mutex_);  // by file system
};

}  // namespace tierfs
