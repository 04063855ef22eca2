// Changing what is in a directory without moving its date.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>

#include "fs/os/beneath.h"
#include "fs/os/mutex.h"

namespace tierfs {

// The directory's mtime when this is made is put back when it goes: what tierfs moves on its own
// shows nowhere to the user. One thread at a time keeps times, so that none takes another's passing
// change for the date; the innermost of all locks, kept for a few system calls.
class KeepTime {
 public:
  // `dir` (O_PATH will do) has to stay open.
  explicit KeepTime(int dir) : lock_(mutex_), dir_(dir), st_(StatFd(dir)) { kept_.fetch_add(1); }
  ~KeepTime() {
    PutBack();
    ended_.fetch_add(1);
    kept_.fetch_sub(1);
  }
  KeepTime(const KeepTime&) = delete;
  KeepTime& operator=(const KeepTime&) = delete;

  // For a thread that sets a directory's date: as long as this lives none is put back.
  class NoneIsPutBack {
   public:
    NoneIsPutBack() : lock_(mutex_) {}

   private:
    const Lock<RecursiveMutex> lock_;
  };

  // What `look` sees, with no passing date in it: where one is being kept meanwhile and `matters`
  // of the answer, it looks once more.
  template <typename Look, typename Matters>
  [[nodiscard]] static auto Undisturbed(Look look, Matters matters) {
    const std::uint64_t before = ended_.load();
    auto seen = look();
    if (!matters(seen) || (kept_.load() == 0 && ended_.load() == before)) return seen;
    const Lock lock(mutex_);
    return look();
  }

 private:
  // Where nothing was changed after all, the ctime does not move either: nobody would be told.
  void PutBack() {
    const auto now = st_ ? StatFd(dir_) : st_;
    if (!now || (now->st_mtim.tv_sec == st_->st_mtim.tv_sec && now->st_mtim.tv_nsec == st_->st_mtim.tv_nsec)) return;
    const timespec times[2] = {{0, UTIME_OMIT}, st_->st_mtim};
    (void)::utimensat(dir_, "", times, AT_EMPTY_PATH);
  }

  static inline std::atomic<std::uint32_t> kept_{0};   // just now
  static inline std::atomic<std::uint64_t> ended_{0};  // up to now
  static inline RecursiveMutex mutex_;
  const Lock<RecursiveMutex> lock_;
  const int dir_;
  const Result<struct stat> st_;
};

}  // namespace tierfs
