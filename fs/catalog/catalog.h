// The catalogue of a mount: everything that tierfs remembers beside the trees. All of it can be
// made anew from them.
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

// Opening it never fails; what is wrong with it is in Health.
class Catalog {
 public:
  // The journal alone.
  explicit Catalog(const std::string& state_dir);
  // With the feed, and checksums of tiers 1 and 2, once Start is called.
  Catalog(const std::string& state_dir, FeedOptions options);
  ~Catalog();
  Catalog(const Catalog&) = delete;
  Catalog& operator=(const Catalog&) = delete;

  // Starts what runs in the background. After the journal's intents have been finished or undone.
  void Start();
  // Records what was told so far and ends what runs in the background.
  void Stop();

  [[nodiscard]] IntentJournal& journal() { return journal_; }
  [[nodiscard]] const IntentJournal& journal() const { return journal_; }
  [[nodiscard]] ChangeFeed* feed() { return feed_.get(); }  // null without one
  [[nodiscard]] Checksummer* checksummer() { return checksummer_.get(); }
  [[nodiscard]] const Health& health() const { return health_; }
  [[nodiscard]] Database& database() { return database_; }

  // A token for all that has changed until now: then what the database says is complete and
  // durable.
  [[nodiscard]] Result<Token> Seal();

 private:
  Health health_;
  Database database_;
  IntentJournal journal_;
  std::unique_ptr<ChangeFeed> feed_;
  std::unique_ptr<Checksummer> checksummer_;
};

}  // namespace tierfs
