#include "fs/jobs/history/actor_log.h"

namespace tierfs::history {

void ActorLog::Note(const std::string& path, std::shared_ptr<const Actor> actor, bool beneath) {
  const auto now = Clock::now();
  const Lock lock(mutex_);
  if (notes_.size() >= kLimit) notes_.clear();
  Noted& noted = notes_.try_emplace(path, Noted{nullptr, now, now, false}).first->second;
  if (actor) noted.actor = std::move(actor);
  noted.last = now;
  noted.beneath = noted.beneath || beneath;
}

std::map<std::string, Noted> ActorLog::Now() const {
  const Lock lock(mutex_);
  return notes_;
}

void ActorLog::Forget(const std::string& path, Clock::time_point seen) {
  const Lock lock(mutex_);
  const auto found = notes_.find(path);
  if (found != notes_.end() && found->second.last <= seen) notes_.erase(found);
}

void ActorLog::Restart(const std::string& path) {
  const Lock lock(mutex_);
  const auto found = notes_.find(path);
  if (found != notes_.end()) found->second.first = Clock::now();
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
