// The history of tier 1: commits by themselves, beside the mount.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/catalog/catalog.h"
#include "fs/control/protocol.h"
#include "fs/jobs/history/committer.h"
#include "fs/jobs/history/outbox.h"
#include "fs/jobs/history/schedule.h"

namespace tierfs::history {

// Owns the thread that commits. The feed says what changed, the actor log says who changed it and
// when, and Schedule says when that is committed.
//
// A failure (no git, a full disk, a broken repository) is reported by Now and the log. The work is
// tried again later, and no program that writes notices. Thread-safe.
class History {
 public:
  History(const Config& config, Catalog& catalog, ActorLog& log, TreeHost host);
  ~History() { Stop(); }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // Starts the thread. It first compares tier 1 with the newest commit.
  void Start();
  // Commits what waits, and ends, also if git hangs. Call it when no request of the kernel can come
  // any more, and before the catalogue is stopped.
  void Stop();

  // The mount is ending: ends pushes and commands that are under way, and answers every caller that
  // waits.
  void EndWaiting() EXCLUDES(mutex_);

  [[nodiscard]] protocol::HistoryStatus Now() const;
  // Commits everything now but what is open for writing.
  [[nodiscard]] Outcome<protocol::Committed> CommitNow();
  [[nodiscard]] Outcome<protocol::Pushed> PushNow() { return outbox_.PushNow(); }
  // See protocol::ReloadGate.
  [[nodiscard]] Outcome<protocol::GateChanged> ReloadGate(const std::vector<std::string>& paths);

 private:
  enum class Extent : std::uint8_t { kSettled, kAll };
  enum class Task : std::uint8_t { kLook, kGate, kCommit, kStop };

  void Run();
  [[nodiscard]] Task WaitForTask() EXCLUDES(mutex_);
  // Reads the repository and the gate, if that was not done or has to be done again.
  [[nodiscard]] Outcome<void> Ready() EXCLUDES(mutex_);
  [[nodiscard]] bool SomethingIsDue(Clock::time_point now);
  // Whether something changed that no caller did: in the tree itself, or in the repository.
  [[nodiscard]] bool SomethingIsNew(Clock::time_point now);
  // Does the work of one task. Returns its commits.
  [[nodiscard]] Outcome<std::vector<std::string>> Pass(Extent extent);
  // The same; once more if another program has changed the repository.
  [[nodiscard]] Outcome<std::vector<std::string>> TryPass(Extent extent);
  [[nodiscard]] bool HeadMoved() const;
  // The paths that changed since the last pass; every path if that is not known.
  [[nodiscard]] Outcome<std::set<std::string>> Changed();
  [[nodiscard]] std::vector<Batch> BatchesOf(const std::set<std::string>& paths, const std::set<std::string>& open, Extent extent,
                                             Clock::time_point now, std::set<std::string>& unsettled) const;
  void Publish(const std::string& trouble) EXCLUDES(mutex_);

  const Config& config_;
  Catalog& catalog_;
  const TreeHost host_;
  Outbox outbox_;
  std::thread thread_;
  std::atomic<bool> cancelled_ = false;  // git has to end

  // Used by the thread only.
  Schedule schedule_;
  Committer committer_;
  bool loaded_ = false;
  bool compare_ = true;              // look at every path in the next pass
  std::optional<Token> listed_;      // the changes up to this token were listed
  std::string covered_;              // a token up to which everything is committed
  std::set<std::string> unsettled_;  // listed, and not committed yet
  Clock::time_point next_look_;      // for changes that no caller made
  Clock::time_point not_before_;     // after a failure
  std::chrono::seconds retry_{0};
  std::uint64_t made_ = 0;  // commits

  mutable Mutex mutex_;
  Wakeup wake_;
  Wakeup answered_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool ending_ GUARDED_BY(mutex_) = false;  // no caller may wait any longer
  bool ended_ GUARDED_BY(mutex_) = false;   // the thread
  bool gate_changed_ GUARDED_BY(mutex_) = false;
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;  // commits asked for
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;   // those that were answered
  Outcome<protocol::Committed> answer_ GUARDED_BY(mutex_);
  protocol::HistoryStatus status_ GUARDED_BY(mutex_);
};

}  // namespace tierfs::history
