#include "fs/jobs/history/schedule.h"

#include <algorithm>
#include <iterator>

namespace tierfs::history {

void Schedule::Update() {
  count_ = notes_.size() + log_.size();  // never less than there are while some are taken
  auto fresh = log_.Take();
  if (notes_.size() >= ActorLog::kLimit) notes_.clear();
  for (auto& [path, noted] : fresh) {
    const auto [at, added] = notes_.try_emplace(path, noted);
    if (!added) at->second.Add(noted);
  }
  count_ = notes_.size();

  jobs_.clear();
  for (const auto& [path, noted] : notes_) {
    if (!noted.actor || !noted.actor->works_as_a_whole) continue;
    Job& job = jobs_.try_emplace(*noted.actor, Job{noted.first, noted.last, false}).first->second;
    job.first = std::min(job.first, noted.first);
    job.last = std::max(job.last, noted.last);
  }
  for (auto& [actor, job] : jobs_) job.running = IsRunning(actor);
}

bool Schedule::IsDue(const Noted& noted, bool open, Clock::time_point now) const {
  const auto job = noted.actor ? jobs_.find(*noted.actor) : jobs_.end();
  if (job != jobs_.end()) {
    if (now - job->second.first >= kWholeJobLimit) return true;
    // A service that a package manager runs does not end.
    return !open && now - job->second.last >= (job->second.running ? std::max(version_.at_most, version_.settle) : version_.settle);
  }
  return now - noted.first >= version_.at_most || (!open && now - noted.last >= version_.settle);
}

bool Schedule::SomethingIsDue(const std::set<std::string>& open, Clock::time_point now) const {
  return std::any_of(notes_.begin(), notes_.end(), [&](const auto& each) { return IsDue(each.second, open.contains(each.first), now); });
}

void Schedule::Committed(const std::set<std::string>& unsettled, const std::set<std::string>& later, const std::set<std::string>& open,
                         Clock::time_point before) {
  for (auto each = notes_.begin(); each != notes_.end();) {
    auto& [path, note] = *each;
    const bool waits = unsettled.contains(path);
    const bool is_open = open.contains(path);
    // The opener goes on changing it. A note without a change waits for the close.
    if (!waits && is_open && IsDue(note, true, before)) note.first = before;
    if (later.contains(path)) note.first = note.last = before + std::max(version_.at_most, version_.settle) - version_.settle;
    each = waits || is_open || note.last > before ? std::next(each) : notes_.erase(each);
  }
  count_ = notes_.size();
}

}  // namespace tierfs::history
