// Threads for requests that take long, where one thread serves all that come from a core.
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <queue>
#include <thread>

namespace tierfs {

// Each job gets a thread of its own as long as there are fewer than kMost; then it waits for one. A thread that had nothing to do for
// kPatience ends.
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

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable ended_;
  std::queue<std::function<void()>> jobs_;
  std::list<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace tierfs
