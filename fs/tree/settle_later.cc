// What is settled in its own time: after a rename changed classes, or when an open file is closed. All of it is in the journal, so that the
// next mount goes on with it.
#include <spdlog/spdlog.h>

#include <cstring>

#include "fs/catalog/journal.h"
#include "fs/tree/tree.h"

namespace tierfs {

std::int64_t Tree::BeginSettling(const std::string& path) {
  if (options_.journal == nullptr) return 0;
  Step step;
  step.kind = Step::Kind::kSettle;
  step.path = path;
  const auto id = options_.journal->Begin(Intent{"settling of /" + path, {step}});
  return id ? *id : 0;
}

void Tree::EndSettling(std::int64_t intent) {
  if (options_.journal != nullptr && intent != 0) options_.journal->Finish(intent);
}

void Tree::SettleLater(const std::string& path) {
  const std::int64_t intent = BeginSettling(path);
  if (!settler_.Add(path, intent)) EndSettling(intent);
}

void Tree::ContentChangedClass(const NodePtr& directory) {
  {
    const std::unique_lock lock(policy_mutex_);
    ++policy_.epoch;
  }
  if (const auto path = nodes_.PathOf(*directory)) SettleLater(*path);
}

void Tree::MoveAtClose(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  if (!path) return;
  // Within one mount descriptors do not notice.
  if (!node->open.Any() || layers_.SameMount(node->Placement(), LayerOf(DecisionOfNode(*node).tier))) return SettleLater(*path);
  FollowAtClose(node);
}

void Tree::FollowAtClose(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  if (!path) return;
  node->settle_at_close = true;
  const std::int64_t intent = BeginSettling(*path);
  Waiting before;
  {
    const std::lock_guard lock(waiting_mutex_);
    before = std::exchange(waiting_[node->id.value], Waiting{node, intent});
  }
  // The next open has to come to this node, also when the kernel forgets the file meanwhile.
  if (!before.node) nodes_.Keep(*node);
  EndSettling(before.intent);
}

std::int64_t Tree::StopFollowing(const NodePtr& node) {
  node->settle_at_close = false;
  std::int64_t intent = 0;
  {
    const std::lock_guard lock(waiting_mutex_);
    const auto found = waiting_.find(node->id.value);
    if (found == waiting_.end()) return 0;
    intent = found->second.intent;
    waiting_.erase(found);
  }
  nodes_.Forget(node->id, 1);
  return intent;
}

void Tree::Closed(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  const std::int64_t intent = StopFollowing(node);
  if (!path || !settler_.Add(*path, intent)) EndSettling(intent);
}

void Tree::NothingToSettle(const NodePtr& node) {
  if (node->settle_at_close) EndSettling(StopFollowing(node));
}

std::vector<std::string> Tree::WaitingForClose() const {
  std::vector<std::string> paths;
  const std::lock_guard lock(waiting_mutex_);
  for (const auto& [id, waiting] : waiting_) {
    if (auto path = nodes_.PathOf(*waiting.node)) paths.push_back(std::move(*path));
  }
  return paths;
}

void Tree::SettleInBackground(const SettleTask& task) {
  Settling settling;
  const Status settled = Settle(task.path, false, settling);
  if (stopping_) return;  // the next mount goes on
  if (!settled && settled.error().code != ENOENT) {
    spdlog::warn("settling {}: {} ({})", task.path, std::strerror(settled.error().code), settled.error().step);
  } else if (settling.failed > 0) {
    spdlog::warn("settling {}: {} entries stay misplaced", task.path, settling.failed.load());
  }
  EndSettling(task.intent);
}

}  // namespace tierfs
