// One thread that settles places after a rename changed the class of what is there.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace tierfs {

// `intent`: its number in the journal, 0 when it is in none.
struct SettleTask {
  std::string path;
  std::int64_t intent = 0;
};

// Paths wait here, each once; the thread starts with the first. What is still waiting at Stop is in the journal for the next mount.
class Settler {
 public:
  explicit Settler(std::function<void(const SettleTask&)> settle) : settle_(std::move(settle)) {}
  ~Settler() { Stop(); }
  Settler(const Settler&) = delete;
  Settler& operator=(const Settler&) = delete;

  // False when the path waits already; then its intent does for both.
  bool Add(std::string path, std::int64_t intent) {
    const std::lock_guard lock(mutex_);
    if (stopping_ || !waiting_.emplace(std::move(path), intent).second) return false;
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
    wake_.notify_one();
    return true;
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
      const auto next = waiting_.extract(waiting_.begin());
      busy_ = true;
      lock.unlock();
      settle_(SettleTask{next.key(), next.mapped()});
      lock.lock();
      busy_ = false;
    }
  }

  const std::function<void(const SettleTask&)> settle_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, std::int64_t> waiting_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace tierfs
