// SIGHUP, the signal by which daemons are told to read their configuration again.
#pragma once

#include <functional>
#include <thread>

#include "fs/os/unique_fd.h"

namespace tierfs {

// Owns the thread that waits for SIGHUP. Create it before any other thread: from then on the signal
// is blocked in the whole process, so no handler of libfuse sees it, and it interrupts no system
// call. One that arrives before Start waits.
class Hangup {
 public:
  Hangup();
  ~Hangup() { Stop(); }
  Hangup(const Hangup&) = delete;
  Hangup& operator=(const Hangup&) = delete;

  // Calls `act` for each SIGHUP, on the thread, where it may do anything.
  void Start(std::function<void()> act);
  // Waits for a call of `act` to return; none comes after that.
  void Stop();

 private:
  UniqueFd signals_;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace tierfs
