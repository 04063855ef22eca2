// The one SQLite database of a mount, STATE/catalog.db: opened, migrated, moved aside and made anew
// when it cannot be used.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "fs/catalog/connection.h"
#include "fs/catalog/health.h"
#include "fs/os/mutex.h"
#include "fs/os/result.h"
#include "fs/tier/intent.h"

namespace tierfs {

// How a commit is made: kDurable is on the disk when it returns, kLazy goes there with the next
// durable one or checkpoint. Both are atomic.
enum class Durability { kDurable, kLazy };

// Thread-safe; one writing transaction at a time, readers beside it (WAL). A file that is damaged,
// or of a version from the future, is moved aside (catalog.db.damaged-N, the last few are kept) and
// made anew, also when that shows while mounted; intents that can still be read from it are carried
// over. Where there is no space or no permission, every call answers an error until there is.
class Database {
 public:
  Database(const std::string& state_dir, Health& health);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Called, with nothing locked, after a new database took the place of the one that was used.
  void OnRenewed(std::function<void()> tell) { renewed_ = std::move(tell); }

  // Runs `work` in one transaction, rolled back when it throws SQLite::Exception.
  [[nodiscard]] Status Write(Durability durability, const std::function<void(Connection&)>& work);
  // Runs `work` on a read-only snapshot; one reader at a time.
  [[nodiscard]] Status Read(const std::function<void(Connection&)>& work);

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void OpenWriter() REQUIRES(mutex_);
  void OpenOrRenew() REQUIRES(mutex_);
  // Puts a new database, with the intents that can be read from the old one, in its place. A crash
  // at any instant leaves the one or the other: FinishRenewal completes it.
  void Renew(const std::string& why) REQUIRES(mutex_);
  void FinishRenewal();
  void MoveAside(const std::string& why) REQUIRES(mutex_);
  [[nodiscard]] Error Report(const std::runtime_error& problem);

  const std::string path_;
  Health& health_;
  std::function<void()> renewed_;

  Mutex mutex_;  // held for the length of a transaction
  std::unique_ptr<Connection> writer_ GUARDED_BY(mutex_);
  Durability durability_ GUARDED_BY(mutex_) = Durability::kLazy;
  std::chrono::steady_clock::time_point next_try_ GUARDED_BY(mutex_);

  Mutex reader_mutex_;  // taken alone, or after mutex_
  std::unique_ptr<Connection> reader_ GUARDED_BY(reader_mutex_);
  std::atomic<bool> damage_seen_ = false;  // by a reader; the next writer renews
};

// Intents as rows, for the journal and for carrying them from one database to the next. Throw
// SQLite::Exception.
void InsertIntent(Connection& connection, std::int64_t id, const Intent& intent);
[[nodiscard]] std::vector<std::pair<std::int64_t, Intent>> SelectIntents(Connection& connection);

}  // namespace tierfs
