// The merged view: the node at each name, and the listing of each directory.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "fs/tier/merge_rule.h"
#include "fs/tree/classifier.h"
#include "fs/tree/directories.h"
#include "fs/tree/found.h"
#include "fs/tree/relocations.h"
#include "fs/tree/topology.h"
#include "fs/tree/types.h"

namespace tierfs {

// Owns the count of files that move between layers. Without it, a lookup that goes through the
// layers one by one could miss a file. Callers hold the topology, except for the functions marked
// below, which take it themselves.
class MergedView {
 public:
  MergedView(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, Topology& topology,
             const Answers& answers)
      : layers_(layers), nodes_(nodes), classifier_(classifier), directories_(directories), topology_(topology), answers_(answers) {}

  // Looks the name up. A file that moves between layers meanwhile is found once. ENAMETOOLONG for a
  // name longer than NAME_MAX.
  [[nodiscard]] Result<Found> Find(const NodePtr& parent, const char* name);
  // Looks up each name and its node, all as of one moment, and returns the generation of that
  // moment. If NodeTable::Generation() is unchanged once the mutex of a node is held, its result
  // stays valid until the mutex is released.
  [[nodiscard]] Result<std::uint64_t> FindAll(std::initializer_list<Side*> sides);
  // Whether the lower layers show an entry at the name. The tiers do not count.
  [[nodiscard]] Result<bool> LowerShows(const NodePtr& parent, const char* name);
  // Whether any entry beneath the directory is in no tier.
  [[nodiscard]] Result<bool> HasLowerOnly(const NodePtr& directory);
  // Lists every entry of the parts once, without "." and "..".
  [[nodiscard]] Result<std::vector<DirectoryEntry>> ListParts(const NodePtr& directory, LayerMask parts);

  // --- with no lock held
  [[nodiscard]] Result<Entry> Lookup(NodeId parent, const char* name);
  // Lists "." and ".." first, then every entry once.
  [[nodiscard]] Result<std::vector<DirectoryEntry>> List(NodeId directory);
  [[nodiscard]] Status SyncDirectory(NodeId directory);
  // The node at a name, for use by the daemon. Takes a reference as the kernel would. Null when
  // there is no such name.
  [[nodiscard]] Result<NodePtr> Acquire(const NodePtr& directory, const std::string& name);
  // The node at a path, with a reference as the kernel would take it. ENOENT when there is no such
  // path. Release gives the reference back.
  [[nodiscard]] Result<NodePtr> AcquirePath(const std::string& path);
  void Release(const NodePtr& node);

  // For a thread that moves a file from one layer to another.
  [[nodiscard]] Relocations& relocations() { return relocations_; }

 private:
  [[nodiscard]] Result<Found> FindOnce(const NodePtr& parent, const char* name);
  [[nodiscard]] Result<Held> Look(const NodePtr& parent, LayerIndex layer, const char* name, struct stat& st);

  const LayerSet& layers_;
  NodeTable& nodes_;
  Classifier& classifier_;
  Directories& directories_;
  Topology& topology_;
  const Answers& answers_;
  Relocations relocations_;
};

}  // namespace tierfs
