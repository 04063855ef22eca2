// Settling at an operator's request: one at a time, watched and cancelled by other clients of the
// control socket.
#pragma once

#include <memory>

#include "fs/control/control.h"
#include "fs/os/mutex.h"
#include "fs/tree/settlement.h"

namespace tierfs {

// Owns the progress of the settling under way. Thread-safe.
class SettleJob {
 public:
  explicit SettleJob(Settlement& settlement) : settlement_(settlement) {}

  // See protocol::Settle and its companions.
  [[nodiscard]] Answer<protocol::Settle> Run(const protocol::Settle& request);
  [[nodiscard]] protocol::SettleReport Report() const;
  protocol::SettleReport Cancel();

 private:
  Settlement& settlement_;
  mutable Mutex mutex_;
  std::shared_ptr<Settling> running_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
