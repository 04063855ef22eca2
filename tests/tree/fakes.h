// A kernel, a journal and a feed that only record their calls.
#pragma once

#include <atomic>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tier/feed.h"
#include "fs/tier/journal.h"
#include "fs/tree/kernel.h"

namespace tierfs::test {

class FakeKernel : public Kernel {
 public:
  // With `passthrough`, the kernel accepts backing files and gives each an id.
  explicit FakeKernel(bool passthrough) : passthrough_(passthrough) {}

  std::int32_t OpenBacking(int /*fd*/) override { return passthrough_ ? ++last_backing_ : 0; }
  void CloseBacking(std::int32_t /*id*/) override { ++closed_; }
  void InvalidateAttributes(NodeId node) override { Remember("attributes", node, ""); }
  void InvalidateData(NodeId node) override { Remember("data", node, ""); }
  void InvalidateEntry(NodeId parent, const std::string& name) override { Remember("entry", parent, name); }

  // The number of registered backing files.
  [[nodiscard]] int Registered() const { return last_backing_ - closed_; }
  // Lines such as "attributes 7" and "entry 1 name", since the last call.
  [[nodiscard]] std::vector<std::string> TakeInvalidations() {
    const Lock lock(mutex_);
    return std::exchange(invalidations_, {});
  }

 private:
  void Remember(const std::string& what, NodeId node, const std::string& name) {
    const Lock lock(mutex_);
    invalidations_.push_back(what + " " + std::to_string(node.value) + (name.empty() ? "" : " " + name));
  }

  const bool passthrough_;
  std::atomic<std::int32_t> last_backing_{0};
  std::atomic<std::int32_t> closed_{0};
  Mutex mutex_;
  std::vector<std::string> invalidations_ GUARDED_BY(mutex_);
};

// A journal in memory. It outlives the tree, as a disk outlives the daemon.
class FakeJournal : public Journal {
 public:
  Result<IntentId> Begin(const Intent& intent) override {
    const Lock lock(mutex_);
    if (refuse_) return Fail(EIO, "the journal");
    intents_.emplace(++last_, intent);
    return last_;
  }
  void Finish(IntentId id) override {
    const Lock lock(mutex_);
    intents_.erase(id);
  }
  Result<std::vector<std::pair<IntentId, Intent>>> Open() override {
    const Lock lock(mutex_);
    return std::vector<std::pair<IntentId, Intent>>(intents_.begin(), intents_.end());
  }

  // Makes every Begin fail from now on.
  void Refuse(bool refuse) {
    const Lock lock(mutex_);
    refuse_ = refuse;
  }
  void Clear() {
    const Lock lock(mutex_);
    intents_.clear();
  }
  [[nodiscard]] std::size_t size() {
    const Lock lock(mutex_);
    return intents_.size();
  }

 private:
  Mutex mutex_;
  std::map<IntentId, Intent> intents_ GUARDED_BY(mutex_);
  IntentId last_ GUARDED_BY(mutex_) = 0;
  bool refuse_ GUARDED_BY(mutex_) = false;
};

// Tracks tiers 1 and 2, as a mount does.
class FakeFeed : public Feed {
 public:
  FakeFeed() : Feed(LayerMask::Only(0).With(1)) {}
  void Touched(LayerIndex layer, std::string path, Change /*change*/) override { Remember(std::to_string(layer + 1) + " " + path); }
  void LinkedTouched(std::uint64_t /*inode*/, Change /*change*/) override { Remember("linked"); }
  void NamelessTouched(std::uint64_t /*inode*/, Change /*change*/) override { Remember("nameless"); }
  void MayBeMapped(UniqueFd /*file*/) override { Remember("mapped"); }

  // Tiers and paths such as "2 srv/file", since the last call.
  [[nodiscard]] std::vector<std::string> Take() {
    const Lock lock(mutex_);
    return std::exchange(reports_, {});
  }

 private:
  void Remember(std::string report) {
    const Lock lock(mutex_);
    reports_.push_back(std::move(report));
  }

  Mutex mutex_;
  std::vector<std::string> reports_ GUARDED_BY(mutex_);
};

}  // namespace tierfs::test
