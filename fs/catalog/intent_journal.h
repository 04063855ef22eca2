// The intent journal in the catalogue's database.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "fs/catalog/database.h"
#include "fs/os/mutex.h"
#include "fs/tier/journal.h"

namespace tierfs {

// Thread-safe.
class IntentJournal : public Journal {
 public:
  explicit IntentJournal(Database& database);

  // Where the catalogue cannot be used the operation goes on without a record, and Health says so.
  [[nodiscard]] Result<IntentId> Begin(const Intent& intent) override;
  void Finish(IntentId id) override;
  [[nodiscard]] Result<std::vector<std::pair<IntentId, Intent>>> Open() override;

  // For people: what is under way now, oldest first.
  [[nodiscard]] std::vector<std::string> UnderWay() const;
  // Writes what is under way into a database that took the place of the one it was in.
  void CarryOver();

 private:
  Database& database_;
  mutable Mutex mutex_;  // taken alone, or within a transaction; no transaction is begun while it is held
  std::map<IntentId, Intent> open_ GUARDED_BY(mutex_);
  IntentId last_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tierfs
