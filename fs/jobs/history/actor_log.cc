#include "fs/jobs/history/actor_log.h"

#include <utility>

namespace tierfs::history {

void Noted::Add(const Noted& later) {
  if (later.actor) actor = later.actor;
  last = later.last;
  beneath = beneath || later.beneath;
}

void ActorLog::Note(const std::string& path, std::shared_ptr<const Actor> actor, bool beneath) {
  const auto now = Clock::now();
  const Noted noted{std::move(actor), now, now, beneath};
  const Lock lock(mutex_);
  if (notes_.size() >= kLimit) notes_.clear();
  const auto [at, added] = notes_.try_emplace(path, noted);
  if (!added) at->second.Add(noted);
}

std::map<std::string, Noted> ActorLog::Take() {
  const Lock lock(mutex_);
  return std::exchange(notes_, {});
}

std::size_t ActorLog::size() const {
  const Lock lock(mutex_);
  return notes_.size();
}

void ActorFeed::Touched(LayerIndex layer, std::string path, Change change) {
  if (layer == kLayer) {
    const Caller* caller = Serving::Now();
    log_.Note(path, caller == nullptr ? nullptr : ActorOf(*caller), change == Change::kSubtree);
  }
  feed_.Touched(layer, std::move(path), change);
}

}  // namespace tierfs::history
