// The settling that an operator asked for: one at a time, watched and cancelled by other clients of the control socket.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "fs/os/mutex.h"
#include "fs/tree/tree.h"

namespace tierfs {

class SettleJob {
 public:
  explicit SettleJob(Tree& tree) : tree_(tree) {}

  // {"path": "", "dry_run": false}. Returns when it is done or cancelled, with the last report; refused while another one runs.
  [[nodiscard]] nlohmann::json Run(const nlohmann::json& request);
  // What the one that runs has done so far; {"running": false} when none does.
  [[nodiscard]] nlohmann::json Report() const;
  // It stops after the entry that it is at; what has been moved stays moved.
  nlohmann::json Cancel();

 private:
  Tree& tree_;
  mutable Mutex mutex_;
  std::shared_ptr<Settling> running_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
