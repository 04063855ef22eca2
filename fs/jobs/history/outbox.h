// What follows a commit: the user's command, and the push to the remote.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "fs/config/config.h"
#include "fs/control/protocol.h"
#include "fs/jobs/history/actor_log.h"
#include "fs/jobs/history/repository.h"
#include "fs/os/mutex.h"

namespace tierfs::history {

// Owns two threads, so that neither a slow command nor a slow network keeps a commit, or the other,
// waiting. Thread-safe.
class Outbox {
 public:
  explicit Outbox(const Config& config) : config_(config), repository_(config.version->repo, &stopping_) {}
  ~Outbox() { Stop(); }
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void Start();
  // Ends what is under way. Commits that are not pushed stay for the next mount.
  void Stop();
  void Committed(const std::vector<std::string>& commits);
  // Pushes now, and waits for the end of it.
  [[nodiscard]] Outcome<protocol::Pushed> PushNow();
  // Fills in what it knows.
  void Describe(protocol::HistoryStatus& status) const;

 private:
  // Runs the command, counts, and packs the repository.
  void Run();
  void RunPushes();
  void Work(const std::vector<std::string>& commits) EXCLUDES(mutex_);
  void RunCommand(const std::string& commit);
  void Push(bool asked) EXCLUDES(mutex_);
  void Count() EXCLUDES(mutex_);

  const Config& config_;
  const Repository repository_;
  std::thread thread_;
  std::thread pushes_;
  std::atomic<bool> stopping_ = false;

  // Used by the one thread.
  std::uint64_t since_tidy_ = 0;  // commits
  // Used by the other.
  Clock::time_point next_push_;
  std::chrono::milliseconds delay_{0};  // after a failed push

  mutable Mutex mutex_;
  Wakeup wake_;
  Wakeup answered_;
  std::vector<std::string> commits_ GUARDED_BY(mutex_);  // the command has not been run for these
  std::uint64_t asked_ GUARDED_BY(mutex_) = 0;           // pushes asked for
  std::uint64_t done_ GUARDED_BY(mutex_) = 0;            // those that have ended
  std::uint64_t pushed_ GUARDED_BY(mutex_) = 0;          // commits in the last push
  std::string trouble_ GUARDED_BY(mutex_);
  Repository::Unpushed unpushed_ GUARDED_BY(mutex_);
};

}  // namespace tierfs::history
