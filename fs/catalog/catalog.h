// The catalogue of a mount: everything that tierfs remembers outside the trees. All but the open
// intents can be rebuilt from the trees.
#pragma once

#include <memory>
#include <string>

#include "fs/catalog/change_feed.h"
#include "fs/catalog/changes.h"
#include "fs/catalog/checksummer.h"
#include "fs/catalog/database.h"
#include "fs/catalog/health.h"
#include "fs/catalog/intent_journal.h"

namespace tierfs {

// Owns the database, the intent journal and the change feed of one mount. Opening never fails;
// errors are reported through Health.
class Catalog {
 public:
  // Opens the intent journal only.
  explicit Catalog(const std::string& state_dir);
  // Opens the journal, the feed and the checksums of tiers 1 and 2. The feed and the checksummer
  // run once Start is called.
  Catalog(const std::string& state_dir, FeedOptions options);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Starts the background work. Call it after the journal's intents have been finished or undone.
  void Start();
  // Records everything told so far and ends the background work.
  void Stop();

  [[nodiscard]] IntentJournal& journal() { return journal_; }
  [[nodiscard]] const IntentJournal& journal() const { return journal_; }
  [[nodiscard]] ChangeFeed* feed() { return feed_.get(); }  // null without a feed
  [[nodiscard]] Checksummer* checksummer() { return checksummer_.get(); }
  [[nodiscard]] const Health& health() const { return health_; }
  [[nodiscard]] Database& database() { return database_; }

  // Returns a token for everything that has changed until now. On return the database is complete
  // and durable up to that token.
  [[nodiscard]] Result<Token> Seal();

 private:
  Health health_;
  Database database_;
  IntentJournal journal_;
  std::unique_ptr<ChangeFeed> feed_;
  std::unique_ptr<Checksummer> checksummer_;
};

}  // namespace tierfs
