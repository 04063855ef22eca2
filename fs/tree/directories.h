// Where nodes are in the layers: descriptors of directories, places of files, and directories that
// gain a part in a tier.
#pragma once

#include <fcntl.h>

#include <functional>
#include <string>
#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/mutex.h"
#include "fs/tier/merge.h"
#include "fs/tree/change_reporter.h"
#include "fs/tree/dir_cache.h"
#include "fs/tree/found.h"
#include "fs/tree/node_table.h"
#include "fs/tree/types.h"

namespace tierfs {

// An entry as a directory descriptor and a name, or an open file without a name: what the *at calls
// take.
struct Location {
  DirFd dir;
  std::string name;  // empty: the file is `file` itself
  UniqueFd file;     // a duplicate, when the node has no name
  LayerIndex layer = kNoLayer;
  [[nodiscard]] int DirOrFile() const { return name.empty() && file ? file.get() : dir->get(); }
  [[nodiscard]] std::string Proc() const { return name.empty() ? ProcPath(DirOrFile()) : ProcPath(dir->get(), name.c_str()); }
};

// Owns the cache of open directories and the growth lock: a directory gains a part in a tier, or
// its attributes change in all its parts, one at a time. Callers hold the topology, shared or
// exclusively, so that no directory changes its place. Within the growth lock come KeepTime's and
// leaf mutexes only.
class Directories {
 public:
  Directories(const LayerSet& layers, NodeTable& nodes, ChangeReporter& reporter, const TreeOptions& options)
      : layers_(layers), nodes_(nodes), reporter_(reporter), cache_(options.directory_fds, options.cache_timeout) {}

  // An O_PATH descriptor of the directory in a layer that has it.
  [[nodiscard]] Result<DirFd> Open(const NodePtr& directory, LayerIndex layer);
  // The same for a tier that may not have it yet: the chain of parents is cloned as needed.
  [[nodiscard]] Result<DirFd> OpenForWriting(const NodePtr& directory, LayerIndex tier) EXCLUDES(growth_);
  // All its parts, as descriptors that can be read. The first overload: the parts in the tiers
  // alone.
  [[nodiscard]] Result<std::vector<UniqueFd>> OpenTierParts(const NodePtr& directory);
  [[nodiscard]] Result<PartFds> OpenParts(const NodePtr& directory);
  void Forget(NodeId directory) { cache_.Drop(directory); }
  void ForgetAll() { cache_.Clear(); }

  // Where a node is in a layer that has it (a file: its placement). LocateLocked: with the node's
  // mutex held.
  [[nodiscard]] Result<Location> Locate(const NodePtr& node, LayerIndex layer) EXCLUDES(node->mutex);
  [[nodiscard]] Result<Location> LocateLocked(const NodePtr& node, LayerIndex layer) REQUIRES(node->mutex);
  // Runs `use` on the node's first part. A file stays where it is meanwhile: its mutex is held. A
  // directory does as long as the topology is.
  [[nodiscard]] Status UseFirstPart(const NodePtr& node, const std::function<Status(const Location&)>& use) EXCLUDES(node->mutex);
  // Runs `change` on every part that the directory has in a tier. None is added meanwhile.
  [[nodiscard]] Status ChangeTierParts(const NodePtr& directory, const std::function<Status(const Location&)>& change) EXCLUDES(growth_);
  // The attributes as the view shows them.
  [[nodiscard]] Result<struct stat> Stat(const NodePtr& node) EXCLUDES(node->mutex);

  // The node of what was found, with one more reference; null when it has to be looked for again
  // (NodeTable::Reference, Hold, Find). A directory that grows may be found by its new part before
  // the table knows: these wait for the growth lock.
  [[nodiscard]] NodePtr Reference(const NodePtr& parent, const char* name, const Found& found) EXCLUDES(growth_);
  [[nodiscard]] NodePtr Hold(const NodePtr& parent, const char* name, const Found& found) EXCLUDES(growth_);
  [[nodiscard]] NodePtr Find(const Found& found) EXCLUDES(growth_);

  // After the directory `name` in `parent` was removed: removes the parts that it gained since
  // `known` was found, and forgets it.
  [[nodiscard]] Status RemoveGrownParts(const NodePtr& directory, const NodePtr& parent, const char* name, LayerMask known)
      EXCLUDES(growth_);

 private:
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
