// The merged view: which node stands at a name, and what a directory lists.
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

// Owns the count of files that move between layers, without which a look through the layers one by
// one could miss a file. Callers hold the topology; those that do not say so below take it
// themselves.
class MergedView {
 public:
  MergedView(const LayerSet& layers, NodeTable& nodes, Classifier& classifier, Directories& directories, Topology& topology,
             const Answers& answers)
      : layers_(layers), nodes_(nodes), classifier_(classifier), directories_(directories), topology_(topology), answers_(answers) {}

  // What stands at the name, with a file that moves meanwhile found once.
  [[nodiscard]] Result<Found> Find(const NodePtr& parent, const char* name);
  // Finds what stands at each name, and the nodes, as of one moment: of the generation that is
  // returned. If NodeTable::Generation() is unchanged once the node's mutex is held, the result
  // stays valid until it is released.
  [[nodiscard]] Result<std::uint64_t> FindAll(std::initializer_list<Side*> sides);
  // Whether the lower layers show anything at the name, whatever the tiers hold.
  [[nodiscard]] Result<bool> LowerShows(const NodePtr& parent, const char* name);
  // Whether any entry beneath the directory is in no tier.
  [[nodiscard]] Result<bool> HasLowerOnly(const NodePtr& directory);
  // Every entry of the parts once, without "." and "..".
  [[nodiscard]] Result<std::vector<DirectoryEntry>> ListParts(const NodePtr& directory, LayerMask parts);

  // --- with no lock held
  [[nodiscard]] Result<Entry> Lookup(NodeId parent, const char* name);
  // "." and ".." first, then every entry once.
  [[nodiscard]] Result<std::vector<DirectoryEntry>> List(NodeId directory);
  [[nodiscard]] Status SyncDirectory(NodeId directory);
  // The node of a name for our own use, referenced as the kernel would; null when there is no such
  // name.
  [[nodiscard]] Result<NodePtr> Acquire(const NodePtr& directory, const std::string& name);
  // What stands at a path, referenced as the kernel would. Release gives the reference back.
  [[nodiscard]] Result<NodePtr> AcquirePath(const std::string& path);
  void Release(const NodePtr& node);

  // For a thread that takes a file from one layer to another.
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
