// The places of nodes in the layers: opens directories, locates files, and adds parts to
// directories.
#pragma once

#include <fcntl.h>

#include <functional>
#include <string>
#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/inode_handle.h"
#include "fs/os/mutex.h"
#include "fs/tier/merge.h"
#include "fs/tree/change_reporter.h"
#include "fs/tree/dir_cache.h"
#include "fs/tree/found.h"
#include "fs/tree/node_table.h"
#include "fs/tree/types.h"

namespace tierfs {

// An entry in the form that the *at calls take: a directory descriptor and a name, or an open file
// without a name.
struct Location {
  DirFd dir;
  std::string name;  // empty: the file is `file` itself
  UniqueFd file;     // a duplicate, when the node has no name
  LayerIndex layer = kNoLayer;
  [[nodiscard]] int DirOrFile() const { return name.empty() && file ? file.get() : dir->get(); }
  [[nodiscard]] std::string Proc() const { return name.empty() ? ProcPath(DirOrFile()) : ProcPath(dir->get(), name.c_str()); }
};

// Owns the cache of open directories and the growth lock. With the growth lock held, a directory
// gains a part in a tier, or its attributes change in all its parts. Callers hold the topology,
// shared or exclusively, so that no directory moves. Only the mutex of KeepTime and leaf mutexes
// are taken within the growth lock.
class Directories {
 public:
  Directories(const LayerSet& layers, NodeTable& nodes, ChangeReporter& reporter, const TreeOptions& options)
      : layers_(layers), nodes_(nodes), reporter_(reporter), cache_(options.directory_fds, options.cache_timeout) {}

  // An O_PATH descriptor of the directory in a layer that has it. ENOENT when the directory has no
  // name left.
  [[nodiscard]] Result<DirFd> Open(const NodePtr& directory, LayerIndex layer);
  // The same for a tier that may not have the directory yet. Clones the chain of parents as needed.
  [[nodiscard]] Result<DirFd> OpenForWriting(const NodePtr& directory, LayerIndex tier) EXCLUDES(growth_);
  // Readable descriptors of the parts of the directory: those in the tiers, or all of them.
  [[nodiscard]] Result<std::vector<UniqueFd>> OpenTierParts(const NodePtr& directory);
  [[nodiscard]] Result<PartFds> OpenParts(const NodePtr& directory);
  void Forget(const Node& directory) { cache_.Drop(directory); }
  void ForgetAll() { cache_.Clear(); }

  // Where a node is in a layer that has it. The layer of a file is its placement. ESTALE when a
  // file has no name left and is not pinned.
  [[nodiscard]] Result<Location> Locate(const NodePtr& node, LayerIndex layer) EXCLUDES(node->mutex);
  [[nodiscard]] Result<Location> LocateLocked(const NodePtr& node, LayerIndex layer) REQUIRES(node->mutex);
  // Runs `use` on the node's first part. A file does not move meanwhile, because its mutex is held.
  // A directory does not move while the caller holds the topology.
  [[nodiscard]] Status UseFirstPart(const NodePtr& node, const std::function<Status(const Location&)>& use) EXCLUDES(node->mutex);
  // Runs `change` on every part that the directory has in a tier. No part is added meanwhile.
  [[nodiscard]] Status ChangeTierParts(const NodePtr& directory, const std::function<Status(const Location&)>& change) EXCLUDES(growth_);
  // The attributes as the merged view shows them. ESTALE when the entry is gone or was replaced
  // underneath.
  [[nodiscard]] Result<struct stat> Stat(const NodePtr& node) EXCLUDES(node->mutex);

  // Reference, Hold and Find of NodeTable, for an entry that was found. Null from Reference or
  // Hold: the caller must look the name up again. A lookup may find a new part of a growing
  // directory before the table knows of it, so these functions wait for the growth lock.
  [[nodiscard]] NodePtr Reference(const NodePtr& parent, const char* name, const Found& found) EXCLUDES(growth_);
  [[nodiscard]] NodePtr Hold(const NodePtr& parent, const char* name, const Found& found) EXCLUDES(growth_);
  [[nodiscard]] NodePtr Find(const Found& found) EXCLUDES(growth_);
  // Must be called for a node that has a new backing inode: the entry `name` in `dir`, or `dir`
  // itself if the name is empty. The node keeps its file handle after the kernel forgets it.
  void Identify(Node& node, int dir, const char* name) {
    const BackingKey key = nodes_.KeyOf(node);
    nodes_.Identify(node, key, GenerationOf(dir, name, key.inode));
  }

  // Must be called after the directory `name` in `parent` was removed. Removes the parts that it
  // gained after `known` was found, and drops it from the cache.
  [[nodiscard]] Status RemoveGrownParts(const NodePtr& directory, const NodePtr& parent, const char* name, LayerMask known)
      EXCLUDES(growth_);

 private:
  // The node, which has a generation from now on.
  [[nodiscard]] NodePtr Identified(NodePtr node, const NodePtr& parent, const char* name, const Found& found);
  [[nodiscard]] Result<Location> LocateByName(const NodePtr& node, const NodeTable::Place& place, LayerIndex layer);
  [[nodiscard]] Result<DirFd> Grow(const NodePtr& directory, const NodeTable::Place& place, int parent, LayerIndex tier) REQUIRES(growth_);
  [[nodiscard]] Result<struct stat> StatFile(const NodePtr& node) EXCLUDES(node->mutex);
  [[nodiscard]] Result<struct stat> StatParts(const NodePtr& directory);

  const LayerSet& layers_;
  NodeTable& nodes_;
  ChangeReporter& reporter_;
  DirCache cache_;
  Mutex growth_;
};

}  // namespace tierfs
