// The class of each place in the view: the tier that its path belongs to by the mount's policy.
#pragma once

#include <memory>
#include <string>

#include "fs/os/mutex.h"
#include "fs/tree/node_table.h"
#include "policy/policy.h"

namespace tierfs {

// Owns the policy and its epoch. Nodes keep their directory's state in the automaton; a state of an
// older epoch is computed anew. The mutex is a leaf.
class Classifier {
 public:
  Classifier(NodeTable& nodes, std::shared_ptr<const policy::Policy> policy) : nodes_(nodes), policy_{std::move(policy), 1} {}

  // Takes a new policy for what is created from now on; what is there stays where it is.
  void SetPolicy(std::shared_ptr<const policy::Policy> policy) EXCLUDES(mutex_);
  [[nodiscard]] std::shared_ptr<const policy::Policy> CurrentPolicy() const EXCLUDES(mutex_) { return Now().policy; }

  [[nodiscard]] policy::Decision DecisionFor(const NodePtr& parent, const std::string& name, bool is_dir) EXCLUDES(mutex_);
  [[nodiscard]] policy::Decision DecisionOf(const Node& node) EXCLUDES(mutex_);
  // The class as a layer.
  [[nodiscard]] LayerIndex HomeOf(const NodePtr& parent, const std::string& name, bool is_dir) {
    return LayerOf(DecisionFor(parent, name, is_dir).tier);
  }
  [[nodiscard]] LayerIndex HomeOf(const Node& node) { return LayerOf(DecisionOf(node).tier); }

  // A directory's state in the automaton, with the policy that it belongs to.
  struct Place {
    std::shared_ptr<const policy::Policy> policy;
    policy::State state;
    [[nodiscard]] LayerIndex Home() const { return LayerOf(policy->DecisionOf(state).tier); }
    // False when a path beneath may have another class in the one than in the other.
    [[nodiscard]] bool SameClassesAs(const Place& other) const { return policy == other.policy && policy->Equivalent(state, other.state); }
  };
  [[nodiscard]] Place PlaceOf(const NodePtr& directory) EXCLUDES(mutex_);
  // A directory changed its place: the states beneath it are out of date.
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
