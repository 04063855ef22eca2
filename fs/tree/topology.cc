#include "fs/tree/topology.h"

#include <thread>

namespace tierfs {
namespace {

constexpr std::chrono::microseconds kStep{20};

}  // namespace

bool Topology::TryCloseFor(std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  closed_.store(true, std::memory_order_release);
  while (!mutex_.try_lock()) {
    if (std::chrono::steady_clock::now() >= end) {
      OpenGate();
      return false;
    }
    std::this_thread::sleep_for(kStep);
  }
  return true;
}

void Topology::Open() {
  mutex_.unlock();
  OpenGate();
}

void Topology::AwaitOpening() {
  std::unique_lock gate(gate_);
  opened_.wait(gate, [this] { return !closed_.load(std::memory_order_acquire); });
}

void Topology::OpenGate() {
  {
    const std::lock_guard gate(gate_);
    closed_.store(false, std::memory_order_release);
  }
  opened_.notify_all();
}

}  // namespace tierfs
