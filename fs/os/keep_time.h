// Changing what is in a directory without moving its date.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <mutex>

#include "fs/os/beneath.h"

namespace tierfs {

// The directory's mtime when this is made is put back when it goes: what tierfs moves on its own shows nowhere to the user. One thread at a
// time keeps times, so that none takes another's passing change for the date; the innermost of all
// locks, kept for a few system calls.
class KeepTime {
 public:
  // `dir` (O_PATH will do) has to stay open.
  explicit KeepTime(int dir) : lock_(mutex_), dir_(dir), st_(StatFd(dir)) {}
  ~KeepTime() {
    if (!st_) return;
    const timespec times[2] = {{0, UTIME_OMIT}, st_->st_mtim};
    (void)::utimensat(dir_, "", times, AT_EMPTY_PATH);
  }
  KeepTime(const KeepTime&) = delete;
  KeepTime& operator=(const KeepTime&) = delete;

  // For who sets a directory's date: while it is held none is put back.
  [[nodiscard]] static std::unique_lock<std::recursive_mutex> NoneIsPutBack() { return std::unique_lock(mutex_); }

 private:
  static inline std::recursive_mutex mutex_;
  const std::lock_guard<std::recursive_mutex> lock_;
  const int dir_;
  const Result<struct stat> st_;
};

}  // namespace tierfs
