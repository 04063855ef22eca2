// The policy of a live mount.
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/os/mutex.h"
#include "fs/tree/classifier.h"

namespace tierfs {

// Changes the policy of the mount, one change at a time, so that none undoes another. Thread-safe.
class LivePolicy {
 public:
  LivePolicy(const Config& config, Classifier& classifier) : config_(config), classifier_(classifier) {}

  // Loads the policy, if it has no error, and logs it. The error is one line for the user.
  [[nodiscard]] Answer<protocol::Reload> Reload(const protocol::Reload& request) EXCLUDES(mutex_);
  // Loads the rules of the gate. The other rules stay as they are, even if their files changed.
  [[nodiscard]] tl::expected<void, std::string> ApplyGate() EXCLUDES(mutex_);

 private:
  const Config& config_;
  Classifier& classifier_;
  Mutex mutex_;
};

}  // namespace tierfs
