// The interface of the intent journal.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "fs/os/result.h"
#include "fs/tier/intent.h"

namespace tierfs {

using IntentId = std::int64_t;

// A path of the mount that is to be settled. `intent` is its number in the journal, or 0 when the
// journal has no record of it.
struct SettleTask {
  std::string path;
  IntentId intent = 0;
};

// Records each multi-step operation before its first step. The next mount finishes or undoes the
// open intents before it serves requests. Thread-safe.
class Journal {
 public:
  virtual ~Journal() = default;
  // Records an intent; durable on return. If the record cannot be written, the operation goes on
  // without it.
  [[nodiscard]] virtual Result<IntentId> Begin(const Intent& intent) = 0;
  // Closes an intent. Need not be durable: an intent that the next mount finds already done is
  // harmless. Never fails the caller.
  virtual void Finish(IntentId id) = 0;
  // The intents that are not finished, oldest first.
  [[nodiscard]] virtual Result<std::vector<std::pair<IntentId, Intent>>> Open() = 0;

  // The journal of a mount that keeps none.
  [[nodiscard]] static Journal& None();
};

}  // namespace tierfs
