// Computes the checksums of tracked files in the background, some time after their last change,
// when nobody else wants the disk.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "fs/catalog/change_feed.h"
#include "fs/os/mutex.h"

namespace tierfs {

class Checksummer {
 public:
  explicit Checksummer(ChangeFeed& feed, LayerMask tiers) : feed_(feed), tiers_(tiers) {}
  ~Checksummer() { Stop(); }

  void Start();
  void Stop();

  // Sums the files now whose content may have changed and that had a sum before, so that those
  // rewritten with the same bytes are known as such; as many as fit in the time.
  void SumStale(std::chrono::milliseconds budget);

  [[nodiscard]] std::uint64_t Summed() const { return summed_; }
  [[nodiscard]] bool Idle() const { return idle_; }  // nothing was left to sum when last looked

 private:
  void Run();
  // One page of files; false when there was nothing to do.
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
