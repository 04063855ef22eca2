// The journal and the feed of a mount that keeps neither.
#include "fs/tier/feed.h"
#include "fs/tier/journal.h"

namespace tierfs {
namespace {

class NoJournal final : public Journal {
 public:
  Result<IntentId> Begin(const Intent& /*intent*/) override { return IntentId{0}; }
  void Finish(IntentId /*id*/) override {}
  Result<std::vector<std::pair<IntentId, Intent>>> Open() override { return std::vector<std::pair<IntentId, Intent>>{}; }
};

class NoFeed final : public Feed {
 public:
  NoFeed() : Feed(LayerMask()) {}
  void Touched(LayerIndex /*layer*/, std::string /*path*/, Change /*change*/) override {}
  void LinkedTouched(std::uint64_t /*inode*/, Change /*change*/) override {}
  void NamelessTouched(std::uint64_t /*inode*/, Change /*change*/) override {}
  void MayBeMapped(UniqueFd /*file*/) override {}
};

}  // namespace

Journal& Journal::None() {
  static NoJournal none;
  return none;
}

Feed& Feed::None() {
  static NoFeed none;
  return none;
}

}  // namespace tierfs
