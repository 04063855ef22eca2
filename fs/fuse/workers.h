// Threads for requests that take long, for the case that one thread serves all requests of a core.
#pragma once

#include <functional>
#include <list>
#include <queue>
#include <thread>

#include "fs/os/mutex.h"

namespace tierfs {

// Owns the threads. Each job gets a thread of its own while there are fewer than kMost; beyond that
// it waits for one. A thread ends after kPatience without work. Thread-safe.
class Workers {
 public:
  Workers() = default;
  // Returns after every job has ended.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Run(std::function<void()> job);

 private:
  void Serve(std::list<std::thread>::iterator self);

  Mutex mutex_;
  Wakeup work_;
  Wakeup ended_;
  std::queue<std::function<void()>> jobs_ GUARDED_BY(mutex_);
  std::list<std::thread> threads_ GUARDED_BY(mutex_);
  std::size_t idle_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;
};

}  // namespace tierfs
