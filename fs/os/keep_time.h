// Changes the entries of a directory without changing its mtime.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>

#include "fs/os/beneath.h"
#include "fs/os/mutex.h"

namespace tierfs {

// Restores the directory's mtime, as read by the constructor, at the end of its lifetime. The moves
// that tierfs makes by itself are thus invisible to the user. One thread at a time keeps times, so
// that no thread takes another's passing change for the real mtime. This is the innermost of all
// locks, held for a few system calls.
class KeepTime {
 public:
  // `dir` (O_PATH is enough) must stay open.
  explicit KeepTime(int dir) : lock_(mutex_), dir_(dir), st_(StatFd(dir)) { kept_.fetch_add(1); }
  ~KeepTime() {
    PutBack();
    ended_.fetch_add(1);
    kept_.fetch_sub(1);
  }
  KeepTime(const KeepTime&) = delete;
  KeepTime& operator=(const KeepTime&) = delete;

  // For a thread that sets a directory's times: no time is restored during its lifetime.
  class NoneIsPutBack {
   public:
    NoneIsPutBack() : lock_(mutex_) {}

   private:
    const Lock<RecursiveMutex> lock_;
  };

  // Reads the directory's times with `look`. Reads them once more if another thread was restoring
  // them meanwhile and `matters` of the answer is true.
  template <typename Look, typename Matters>
  [[nodiscard]] static auto Undisturbed(Look look, Matters matters) {
    const std::uint64_t before = ended_.load();
    auto seen = look();
    if (!matters(seen) || (kept_.load() == 0 && ended_.load() == before)) return seen;
    const Lock lock(mutex_);
    return look();
  }

 private:
  // If nothing was changed, leave the ctime alone too: a new ctime would be a change that no hint
  // explains.
  void PutBack() {
    const auto now = st_ ? StatFd(dir_) : st_;
    if (!now || (now->st_mtim.tv_sec == st_->st_mtim.tv_sec && now->st_mtim.tv_nsec == st_->st_mtim.tv_nsec)) return;
    const timespec times[2] = {{0, UTIME_OMIT}, st_->st_mtim};
    (void)::utimensat(dir_, "", times, AT_EMPTY_PATH);
  }

  static inline std::atomic<std::uint32_t> kept_{0};   // in progress now
  static inline std::atomic<std::uint64_t> ended_{0};  // since the start of the process
  static inline RecursiveMutex mutex_;
  const Lock<RecursiveMutex> lock_;
  const int dir_;
  const Result<struct stat> st_;
};

}  // namespace tierfs
