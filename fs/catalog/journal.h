// The intent journal: what a multi-step operation is about to do, durable before its first step. The next mount finishes or undoes what is
// found open, before it answers.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "fs/catalog/database.h"
#include "fs/catalog/intent.h"
#include "fs/os/result.h"

namespace tierfs {

using IntentId = std::int64_t;

// Thread-safe.
class Journal {
 public:
  explicit Journal(Database& database);

  // Durable on return. Where the catalogue cannot be used the operation goes on without a record of it, which Health tells.
  [[nodiscard]] Result<IntentId> Begin(const Intent& intent);
  // Need not be durable: an intent that is found finished at the next mount is harmless. Never fails the caller.
  void Finish(IntentId id);
  // All that are not finished, oldest first.
  [[nodiscard]] Result<std::vector<std::pair<IntentId, Intent>>> Open();

  // For people: what is under way now, oldest first.
  [[nodiscard]] std::vector<std::string> UnderWay() const;
  // Writes what is under way into a database that took the place of the one it was in.
  void CarryOver();

 private:
  Database& database_;
  mutable std::mutex mutex_;  // taken alone, or within a transaction; no transaction is begun while it is held
  std::map<IntentId, Intent> open_;
  IntentId last_ = 0;
};

}  // namespace tierfs
