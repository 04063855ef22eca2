// The class of a path in the view: the tier that the policy of the mount assigns to it.
#pragma once

#include <memory>
#include <string>

#include "fs/os/mutex.h"
#include "fs/tree/node_table.h"
#include "policy/policy.h"

namespace tierfs {

// Owns the policy and its epoch. Each directory node caches its state in the policy's automaton. A
// state of an older epoch is computed again. The mutex is a leaf.
class Classifier {
 public:
  Classifier(NodeTable& nodes, std::shared_ptr<const policy::Policy> policy) : nodes_(nodes), policy_{std::move(policy), 1} {}

  // Sets the policy for entries that are created from now on. Existing entries stay where they are.
  void SetPolicy(std::shared_ptr<const policy::Policy> policy) EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<const policy::Policy> CurrentPolicy() const EXCLUDES(mutex_) { return Now().policy; }

  [[nodiscard]] policy::Decision DecisionFor(const NodePtr& parent, const std::string& name, bool is_dir) EXCLUDES(mutex_);
  [[nodiscard]] policy::Decision DecisionOf(const Node& node) EXCLUDES(mutex_);
  // The class tier, as a layer.
  [[nodiscard]] LayerIndex HomeOf(const NodePtr& parent, const std::string& name, bool is_dir) {
    return LayerOf(DecisionFor(parent, name, is_dir).tier);
  }
  [[nodiscard]] LayerIndex HomeOf(const Node& node) { return LayerOf(DecisionOf(node).tier); }

  // The state of a directory in the automaton, with the policy that it belongs to.
  struct Place {
    std::shared_ptr<const policy::Policy> policy;
    policy::State state;
    [[nodiscard]] LayerIndex Home() const { return LayerOf(policy->DecisionOf(state).tier); }
    // False when a path beneath may have different classes in the two places.
    [[nodiscard]] bool SameClassesAs(const Place& other) const { return policy == other.policy && policy->Equivalent(state, other.state); }
  };
  [[nodiscard]] Place PlaceOf(const NodePtr& directory) EXCLUDES(mutex_);
  // Must be called after a directory moved: the states beneath it are out of date.
  void PathsChanged() EXCLUDES(mutex_);

 private:
  struct Epoch {
    std::shared_ptr<const policy::Policy> policy;
    std::uint64_t number;
  };
  [[nodiscard]] Epoch Now() const EXCLUDES(mutex_);

  NodeTable& nodes_;
  mutable SharedMutex mutex_;
  Epoch policy_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
