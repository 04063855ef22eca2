// Threads for requests that take long, where one thread serves all that come from a core.
#pragma once

#include <functional>
#include <list>
#include <queue>
#include <thread>

#include "fs/os/mutex.h"

namespace tierfs {

// Each job gets a thread of its own as long as there are fewer than kMost; then it waits for one. A
// thread that had nothing to do for kPatience ends.
class Workers {
 public:
  Workers() = default;
  // Every job has ended by then.
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
