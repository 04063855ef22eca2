// Performs operations of several steps.
#pragma once

#include <string>
#include <vector>

#include "fs/tier/journal.h"
#include "fs/tier/steps.h"
#include "fs/tree/directories.h"

namespace tierfs {

// A step whose directories are nodes of the view. Step is its form in the journal. For kPublish
// only the target is in the view: `layer` and `name` refer to the work directory.
struct Action {
  Step::Kind kind;
  LayerIndex layer;
  NodePtr parent;
  std::string name;
  LayerIndex to_layer = kNoLayer;
  NodePtr to_parent = nullptr;
  std::string to_name = {};
};

// Owns nothing. Callers hold the topology and the mutexes of the files that they move, so that no
// other thread changes those in between.
class Transactions {
 public:
  Transactions(const LayerSet& layers, const NodeTable& nodes, Directories& directories, Journal& journal)
      : layers_(layers), nodes_(nodes), directories_(directories), journal_(journal) {}

  // Whether the directories that the steps change get new dates (kMove) or keep theirs.
  enum class Dates : std::uint8_t { kMove, kKeep };
  // Does the actions in order. A single action is atomic by itself. Several actions are recorded
  // first, so that the next mount finishes them after a crash; they are durable on return. After a
  // failure, undoes the steps that can be undone. The next mount finishes the rest.
  [[nodiscard]] Status Perform(const std::string& what, const std::vector<Action>& actions, Dates dates = Dates::kMove);

 private:
  struct Ready;
  [[nodiscard]] Result<Ready> Open(const Action& action);
  [[nodiscard]] Result<Step> WriteDown(const Ready& ready, const std::vector<Ready>& all) const;
  [[nodiscard]] Result<Intent> WriteDownAll(const std::string& what, std::vector<Ready>& steps) const;
  // Whether a step after `after` removes an entry on another mount than the target of step `after`.
  [[nodiscard]] bool RemovesElsewhere(const std::vector<Ready>& steps, std::size_t after) const;
  [[nodiscard]] Status RunAll(const std::string& what, const std::vector<Ready>& steps, Dates dates, IntentId id);
  // Undoes the first `count` steps, the last one first. Ends the intent if all are undone.
  void TakeBack(const std::string& what, const std::vector<Ready>& steps, std::size_t count, Dates dates, IntentId id, const Error& why);
  [[nodiscard]] static Status SyncAll(const std::vector<Ready>& steps);

  const LayerSet& layers_;
  const NodeTable& nodes_;
  Directories& directories_;
  Journal& journal_;
};

}  // namespace tierfs
