#include "fs/tree/settle_queue.h"

#include <spdlog/spdlog.h>

#include <cstring>

namespace tierfs {

IntentId SettleQueue::Begin(const std::string& path) {
  Step step;
  step.kind = Step::Kind::kSettle;
  step.path = path;
  return journal_.Begin(Intent{"settling of /" + path, {step}}).value_or(0);
}

void SettleQueue::End(IntentId intent) {
  if (intent != 0) journal_.Finish(intent);
}

void SettleQueue::Add(std::string path, IntentId intent) {
  {
    const Lock lock(mutex_);
    if (stopping_) return;  // the next mount goes on
    if (paths_.emplace(std::move(path), intent).second) {
      if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
      wake_.notify_one();
      return;
    }
  }
  End(intent);
}

void SettleQueue::Later(const std::string& path) { Add(path, Begin(path)); }

void SettleQueue::DirectoryMoved(const NodePtr& directory) {
  classifier_.PathsChanged();
  if (const auto path = nodes_.PathOf(*directory)) Later(*path);
}

void SettleQueue::Resume(std::vector<SettleTask> tasks) {
  for (SettleTask& task : tasks) Add(std::move(task.path), task.intent);
}

void SettleQueue::Misplaced(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  if (!path) return;
  // A rename within one mount does not affect open descriptors.
  if (!node->open.Any() || layers_.SameMount(node->Placement(), classifier_.HomeOf(*node))) return Later(*path);
  AtNextClose(node);
}

void SettleQueue::AtNextClose(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  if (!path) return;
  node->settle_at_close = true;
  const IntentId intent = Begin(*path);
  Waiting before;
  {
    const Lock lock(mutex_);
    before = std::exchange(waiting_[node->id.value], Waiting{node, intent});
  }
  // The reference makes the next open come to this node, even if the kernel forgets the file
  // meanwhile.
  if (!before.node) nodes_.Keep(*node);
  End(before.intent);
}

IntentId SettleQueue::StopWaiting(const NodePtr& node) {
  node->settle_at_close = false;
  IntentId intent = 0;
  {
    const Lock lock(mutex_);
    const auto found = waiting_.find(node->id.value);
    if (found == waiting_.end()) return 0;
    intent = found->second.intent;
    waiting_.erase(found);
  }
  nodes_.Forget(node->id, 1);
  return intent;
}

void SettleQueue::Closed(const NodePtr& node) {
  const auto path = nodes_.PathOf(*node);
  const IntentId intent = StopWaiting(node);
  path ? Add(*path, intent) : End(intent);
}

void SettleQueue::NothingToSettle(const NodePtr& node) {
  if (node->settle_at_close) End(StopWaiting(node));
}

std::size_t SettleQueue::Pending() const {
  const Lock lock(mutex_);
  return paths_.size() + (under_way_ ? 1 : 0);
}

std::vector<std::string> SettleQueue::WaitingForClose() const {
  std::vector<std::string> paths;
  const Lock lock(mutex_);
  for (const auto& [id, waiting] : waiting_) {
    if (auto path = nodes_.PathOf(*waiting.node)) paths.push_back(std::move(*path));
  }
  return paths;
}

void SettleQueue::Stop() {
  std::thread thread;
  {
    const Lock lock(mutex_);
    stopping_ = true;
    if (under_way_) under_way_->cancelled = true;
    wake_.notify_one();
    thread = std::move(thread_);
  }
  if (thread.joinable()) thread.join();
}

void SettleQueue::Run() {
  Lock lock(mutex_);
  for (;;) {
    while (!stopping_ && paths_.empty()) wake_.wait(lock);
    if (stopping_) return;
    const auto next = paths_.extract(paths_.begin());
    const auto settling = under_way_ = std::make_shared<Settling>();
    lock.unlock();
    SettleOne(SettleTask{next.key(), next.mapped()}, *settling);
    lock.lock();
    under_way_.reset();
  }
}

void SettleQueue::SettleOne(const SettleTask& task, Settling& settling) {
  const Status settled = settle_(task.path, settling);
  if (settling.cancelled) return;  // the next mount goes on
  if (!settled && settled.error().code != ENOENT) {
    spdlog::warn("settling {}: {} ({})", task.path, std::strerror(settled.error().code), settled.error().step);
  } else if (settling.failed > 0) {
    spdlog::warn("settling {}: {} entries stay misplaced", task.path, settling.failed.load());
  }
  End(task.intent);
}

}  // namespace tierfs
