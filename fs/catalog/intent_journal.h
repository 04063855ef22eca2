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

// Owns the list of intents under way and stores it in the database. Thread-safe.
class IntentJournal : public Journal {
 public:
  explicit IntentJournal(Database& database);

  // If the catalogue cannot be used, the operation proceeds without a record and Health reports it.
  [[nodiscard]] Result<IntentId> Begin(const Intent& intent) override;
  void Finish(IntentId id) override;
  [[nodiscard]] Result<std::vector<std::pair<IntentId, Intent>>> Open() override;

  // Returns the operations under way as text for the user, oldest first.
  [[nodiscard]] std::vector<std::string> UnderWay() const;
  // Writes the intents under way into a database that replaced the previous one.
  void CarryOver();

 private:
  Database& database_;
  // Taken alone, or within a transaction. No transaction is begun while it is held.
  mutable Mutex mutex_;
  std::map<IntentId, Intent> open_ GUARDED_BY(mutex_);
  IntentId last_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tierfs
