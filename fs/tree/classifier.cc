#include "fs/tree/classifier.h"

namespace tierfs {

void Classifier::SetPolicy(std::shared_ptr<const policy::Policy> policy) {
  const Lock lock(mutex_);
  policy_.policy = std::move(policy);
  ++policy_.number;
}

Classifier::Epoch Classifier::Now() const {
  const ReadLock lock(mutex_);
  return policy_;
}

policy::Decision Classifier::DecisionFor(const NodePtr& parent, const std::string& name, bool is_dir) {
  const Epoch now = Now();
  return now.policy->Classify(nodes_.StateOf(*parent, *now.policy, now.number), name, is_dir);
}

policy::Decision Classifier::DecisionOf(const Node& node) {
  const NodeTable::Place place = nodes_.PlaceOf(node);
  if (place.parent) return DecisionFor(place.parent, place.name, node.IsDir());
  const Epoch now = Now();
  return now.policy->DecisionOf(now.policy->Root());
}

Classifier::Place Classifier::PlaceOf(const NodePtr& directory) {
  const Epoch now = Now();
  return Place{now.policy, nodes_.StateOf(*directory, *now.policy, now.number)};
}

void Classifier::PathsChanged() {
  const Lock lock(mutex_);
  ++policy_.number;
}

}  // namespace tierfs
