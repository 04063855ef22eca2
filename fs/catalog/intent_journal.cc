#include "fs/catalog/intent_journal.h"

#include <algorithm>
#include <chrono>

#include "fs/os/fault.h"

namespace tierfs {

// A number is never used twice, even by another database or after a restart: numbers start at the
// time of day.
IntentJournal::IntentJournal(Database& database)
    : database_(database),
      last_(std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count()) {}

Result<IntentId> IntentJournal::Begin(const Intent& intent) {
  IntentId id = 0;
  {
    const Lock lock(mutex_);
    id = ++last_;
    open_[id] = intent;
  }
  // Health reports a failure; the operation itself must not fail because of it.
  (void)database_.Write(Durability::kDurable, [&](Connection& connection) { InsertIntent(connection, id, intent); });
  Fault::Here("journal.begun");
  return id;
}

void IntentJournal::Finish(IntentId id) {
  Fault::Here("journal.done");
  {
    const Lock lock(mutex_);
    open_.erase(id);
  }
  (void)database_.Write(Durability::kLazy, [&](Connection& connection) {
    SQLite::Statement& remove = connection.Use("DELETE FROM intents WHERE id = ?");
    remove.bind(1, id);
    remove.exec();
  });
}

Result<std::vector<std::pair<IntentId, Intent>>> IntentJournal::Open() {
  std::vector<std::pair<IntentId, Intent>> intents;
  TIERFS_TRY(database_.Read([&](Connection& connection) { intents = SelectIntents(connection); }));
  const Lock lock(mutex_);
  for (const auto& [id, intent] : intents) {
    open_.emplace(id, intent);
    last_ = std::max(last_, id);
  }
  return intents;
}

std::vector<std::string> IntentJournal::UnderWay() const {
  const Lock lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [id, intent] : open_) all.push_back(intent.what);
  return all;
}

void IntentJournal::CarryOver() {
  (void)database_.Write(Durability::kDurable, [&](Connection& connection) {
    // Read the list inside the transaction: an intent that finishes from now on is deleted after
    // this transaction, not before it.
    const Lock lock(mutex_);
    for (const auto& [id, intent] : open_) InsertIntent(connection, id, intent);
  });
}

}  // namespace tierfs
