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
  Lock lock(mutex_);
  stopping_ = true;
  work_.notify_all();
  while (!threads_.empty()) ended_.wait(lock);
}

void Workers::Run(std::function<void()> job) {
  const Lock lock(mutex_);
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
  Lock lock(mutex_);
  for (;;) {
    ++idle_;
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (!stopping_ && jobs_.empty() && work_.wait_until(lock, until) != std::cv_status::timeout) {
    }
    --idle_;
    if (jobs_.empty()) break;
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
