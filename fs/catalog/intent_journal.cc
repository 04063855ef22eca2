#include "fs/catalog/intent_journal.h"

#include <algorithm>
#include <chrono>

#include "fs/os/fault.h"

namespace tierfs {

// Numbers are never used twice, also not by another database or after a restart: they start at the
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
  // A failure is told by Health; the operation itself must not fail for it.
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
    // Looked at inside the transaction: an intent that is finished from now on is deleted after it,
    // not before.
    const Lock lock(mutex_);
    for (const auto& [id, intent] : open_) InsertIntent(connection, id, intent);
  });
}

}  // namespace tierfs
