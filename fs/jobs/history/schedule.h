// When a changed path of tier 1 is committed.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <string>

#include "fs/config/config.h"
#include "fs/jobs/history/actor_log.h"

namespace tierfs::history {

// Owns the notes of changes that are not committed. A path is due when no program has it open for
// writing and it was left alone for `settle`; at the latest after `at_most`. The changes of a
// package manager are due together: after its end, when it has changed nothing for `at_most`, or
// after kWholeJobLimit. One thread uses it; any thread may call size.
class Schedule {
 public:
  static constexpr auto kWholeJobLimit = std::chrono::minutes(10);

  Schedule(const VersionConfig& version, ActorLog& log) : version_(version), log_(log) {}

  // Takes the new notes from the log, and looks which package managers still run.
  void Update();
  [[nodiscard]] bool IsDue(const Noted& noted, bool open, Clock::time_point now) const;
  [[nodiscard]] bool SomethingIsDue(const std::set<std::string>& open, Clock::time_point now) const;
  // Everything that was noted before this time is committed, except of the unsettled paths. Those
  // of them that are in `later` are due again after `at_most`, or when they have changed.
  void Committed(const std::set<std::string>& unsettled, const std::set<std::string>& later, const std::set<std::string>& open,
                 Clock::time_point before);

  [[nodiscard]] const std::map<std::string, Noted>& notes() const { return notes_; }
  // The number of paths with a note, those in the log included.
  [[nodiscard]] std::size_t size() const { return count_ + log_.size(); }

 private:
  // The work of a package manager that is not committed.
  struct Job {
    Clock::time_point first;
    Clock::time_point last;
    bool running = false;
  };

  const VersionConfig& version_;
  ActorLog& log_;
  std::map<std::string, Noted> notes_;
  std::map<Actor, Job> jobs_;
  std::atomic<std::size_t> count_ = 0;
};

}  // namespace tierfs::history
