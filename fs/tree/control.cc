// What an operator does to a live mount.
#include "fs/tree/tree.h"

namespace tierfs {

void Tree::SetPolicy(std::shared_ptr<const policy::Policy> policy) {
  const std::unique_lock lock(policy_mutex_);
  policy_.policy = std::move(policy);
  ++policy_.epoch;
}

std::shared_ptr<const policy::Policy> Tree::CurrentPolicy() const { return Policy().policy; }

std::size_t Tree::DropCaches() {
  dirs_.Clear();
  const auto all = nodes_.All();
  for (const NodePtr& node : all) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    if (place.parent) kernel_->InvalidateEntry(place.parent->id, place.name);
    kernel_->InvalidateData(node->id);
  }
  return all.size();
}

Tree::Counters Tree::Count() const {
  Counters counters;
  counters.nodes = nodes_.size();
  for (const auto& file : handles_.All()) {
    ++counters.open_handles;
    if (file->mode == DataMode::kPassthrough) ++counters.passthrough_handles;
  }
  return counters;
}

}  // namespace tierfs
