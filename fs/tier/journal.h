// The intent journal as an operation of several steps sees it.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "fs/os/result.h"
#include "fs/tier/intent.h"

namespace tierfs {

using IntentId = std::int64_t;

// A path of the mount that is to be settled. `intent`: its number in the journal, 0 when it is in
// none.
struct SettleTask {
  std::string path;
  IntentId intent = 0;
};

// What an operation is about to do is written down before its first step. The next mount finishes
// or undoes the intents that it finds open, before it answers. Thread-safe.
class Journal {
 public:
  virtual ~Journal() = default;
  // Durable on return. Where nothing can be written down the operation goes on without a record.
  [[nodiscard]] virtual Result<IntentId> Begin(const Intent& intent) = 0;
  // Need not be durable: an intent that the next mount finds finished is harmless. Never fails the
  // caller.
  virtual void Finish(IntentId id) = 0;
  // The intents that are not finished, oldest first.
  [[nodiscard]] virtual Result<std::vector<std::pair<IntentId, Intent>>> Open() = 0;

  // The journal of a mount that keeps none.
  [[nodiscard]] static Journal& None();
};

}  // namespace tierfs
