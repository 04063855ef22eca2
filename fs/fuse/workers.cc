#include "fs/fuse/workers.h"

#include <pthread.h>

#include <chrono>
#include <utility>

namespace tierfs {
namespace {

constexpr std::size_t kMost = 64;
constexpr std::chrono::seconds kPatience{10};

}  // namespace

Workers::~Workers() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  ended_.wait(lock, [this] { return threads_.empty(); });
}

void Workers::Run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  jobs_.push(std::move(job));
  if (jobs_.size() <= idle_ || threads_.size() == kMost) {
    work_.notify_one();
    return;
  }
  threads_.emplace_back();
  threads_.back() = std::thread(&Workers::Serve, this, std::prev(threads_.end()));
}

void Workers::Serve(std::list<std::thread>::iterator self) {
  ::pthread_setname_np(::pthread_self(), "tierfs-long");
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    const bool woken = work_.wait_for(lock, kPatience, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (jobs_.empty() && (stopping_ || !woken)) break;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop();
    lock.unlock();
    job();
    lock.lock();
  }
  self->detach();
  threads_.erase(self);
  if (threads_.empty()) ended_.notify_all();
}

}  // namespace tierfs
