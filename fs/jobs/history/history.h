// The history of tier 1: commits by themselves, beside the mount.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/catalog/catalog.h"
#include "fs/control/protocol.h"
#include "fs/jobs/history/committer.h"
#include "fs/jobs/history/outbox.h"

namespace tierfs::history {

// Owns the thread that commits. The feed says what changed, the actor log says who changed it and
// when. A path is committed when no program has it open for writing and it was left alone for
// `settle`; at the latest after `at_most`. The changes of a package manager are one commit: they
// wait for its end, at most kWholeJobLimit.
//
// A failure (no git, a full disk, a broken repository) is reported by Now and the log. The work is
// tried again later, and no program that writes notices. Thread-safe.
class History {
 public:
  static constexpr auto kWholeJobLimit = std::chrono::minutes(10);

  History(const Config& config, Catalog& catalog, ActorLog& log, TreeHost host);
  ~History() { Stop(); }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // Starts the thread. It first compares tier 1 with the newest commit.
  void Start();
  // Commits what waits, and ends. Call it when no request of the kernel can come any more, and
  // before the catalogue is stopped.
  void Stop();

  // Ends pushes and commands that are under way, also for those who wait for them.
  void EndOutbox() { outbox_.Stop(); }

  [[nodiscard]] protocol::HistoryStatus Now() const;
  // Commits everything now.
  [[nodiscard]] Outcome<protocol::Committed> CommitNow();
  [[nodiscard]] Outcome<protocol::Pushed> PushNow() { return outbox_.PushNow(); }
  // See protocol::ReloadGate.
  [[nodiscard]] Outcome<protocol::GateChanged> ReloadGate(const std::vector<std::string>& paths);

 private:
  enum class Extent : std::uint8_t { kSettled, kAll };
  enum class Task : std::uint8_t { kLook, kCommit, kStop };

  void Run();
  [[nodiscard]] Task WaitForTask() EXCLUDES(mutex_);
  // Reads the repository and the gate, if that was not done or has to be done again.
  [[nodiscard]] Outcome<void> Ready() EXCLUDES(mutex_);
  [[nodiscard]] bool SomethingIsDue(Clock::time_point now);
  // Whether something changed that no caller did: in the tree itself, or in the repository.
  [[nodiscard]] bool SomethingIsNew(Clock::time_point now);
  [[nodiscard]] bool IsDue(const Noted& noted, bool open, Clock::time_point now) const;
  // Notes when each package manager was seen last.
  void SeeWholeJobs(const std::map<std::string, Noted>& notes);
  // Does the work of one task. Returns its commits.
  [[nodiscard]] Outcome<std::vector<std::string>> Pass(Extent extent);
  // The paths that changed since the last pass; every path if that is not known.
  [[nodiscard]] Outcome<std::set<std::string>> Changed();
  [[nodiscard]] std::vector<Batch> BatchesOf(const std::set<std::string>& paths, Extent extent, Clock::time_point now,
                                             std::set<std::string>& unsettled);
  // Everything that the notes said before this time is committed, except of the unsettled paths.
  void ForgetNotes(const std::set<std::string>& unsettled, Clock::time_point before);
  void Publish(const std::string& trouble) EXCLUDES(mutex_);

  const Config& config_;
  Catalog& catalog_;
  ActorLog& log_;
  const TreeHost host_;
  Outbox outbox_;
  std::thread thread_;

  // Used by the thread only.
  Committer committer_;
  bool loaded_ = false;
  bool compare_ = true;              // look at every path in the next pass
  std::optional<Token> listed_;      // the changes up to this token were listed
  std::string covered_;              // a token up to which everything is committed
  std::set<std::string> unsettled_;  // listed, and not committed yet
  std::map<Actor, Clock::time_point> whole_jobs_;
  Clock::time_point next_look_;   // for changes that no caller made
  Clock::time_point not_before_;  // after a failure
  std::chrono::seconds retry_{0};
  std::uint64_t made_ = 0;  // commits

  mutable Mutex mutex_;
  Wakeup wake_;
  Wakeup answered_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool gate_changed_ GUARDED_BY(mutex_) = false;
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;  // commits asked for
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;   // those that were answered
  Outcome<protocol::Committed> answer_ GUARDED_BY(mutex_);
  protocol::HistoryStatus status_ GUARDED_BY(mutex_);
};

}  // namespace tierfs::history
