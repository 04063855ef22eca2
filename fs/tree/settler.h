// One thread that settles directories after a rename changed the class of what is in them.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

namespace tierfs {

// Paths wait here, each once; the thread starts with the first. What is still waiting at Stop stays misplaced and is found again by
// `tierctl settle`.
class Settler {
 public:
  explicit Settler(std::function<void(const std::string& path)> settle) : settle_(std::move(settle)) {}
  ~Settler() { Stop(); }
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  void Add(std::string path) {
    const std::lock_guard lock(mutex_);
    if (stopping_) return;
    waiting_.insert(std::move(path));
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
    wake_.notify_one();
  }

  [[nodiscard]] std::size_t Pending() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size() + (busy_ ? 1 : 0);
  }

  void Stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      wake_.notify_one();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      const std::string path = std::move(waiting_.extract(waiting_.begin()).value());
      busy_ = true;
      lock.unlock();
      settle_(path);
      lock.lock();
      busy_ = false;
    }
  }

  const std::function<void(const std::string& path)> settle_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::set<std::string> waiting_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tierfs
