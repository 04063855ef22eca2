// Computes the checksums of tracked files in the background, some time after their last change,
// while the disk is otherwise idle.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "fs/catalog/change_feed.h"
#include "fs/os/mutex.h"

namespace tierfs {

// Owns the background thread. Stop ends it.
class Checksummer {
 public:
  explicit Checksummer(ChangeFeed& feed, LayerMask tiers) : feed_(feed), tiers_(tiers) {}
  ~Checksummer() { Stop(); }

  void Start();
  void Stop();

  // Sums at once those files that had a checksum and whose content may have changed. A file
  // rewritten with the same bytes is thereby recognised. Sums as many files as fit in `budget`.
  void SumStale(std::chrono::milliseconds budget);

  [[nodiscard]] std::uint64_t Summed() const { return summed_; }
  // No file was left to sum at the last look.
  [[nodiscard]] bool Idle() const { return idle_; }

 private:
  void Run();
  // Sums one page of files. Returns false when there was nothing to do.
  [[nodiscard]] bool SumSome(LayerIndex tier, Unhashed which, std::string& after, bool quiet_only, const std::function<bool()>& go_on);
  [[nodiscard]] bool Stopping() const;

  ChangeFeed& feed_;
  const LayerMask tiers_;
  std::thread thread_;
  mutable Mutex mutex_;
  Wakeup wake_;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::atomic<std::uint64_t> summed_ = 0;
  std::atomic<bool> idle_ = false;
};

}  // namespace tierfs
