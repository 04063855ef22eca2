// The one SQLite database of a mount, STATE/catalog.db. It is opened and migrated here; a database
// that cannot be used is moved aside and made anew.
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

// A kDurable commit is on the disk when it returns. A kLazy commit reaches the disk with the next
// durable commit or checkpoint. Both are atomic.
enum class Durability { kDurable, kLazy };

// Owns the database file and its two connections. Thread-safe: one writing transaction at a time,
// with readers beside it (WAL).
//
// A database that is damaged, or of a future version, is moved aside and made anew, also if the
// damage shows while mounted. The last few are kept as catalog.db.damaged-N. Intents that can still
// be read are carried over. Without disk space or permission, every call returns an error until the
// cause is gone.
class Database {
 public:
  Database(const std::string& state_dir, Health& health);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // `tell` is called, with no lock held, after a new database replaced the one in use.
  void OnRenewed(std::function<void()> tell) { renewed_ = std::move(tell); }

  // Runs `work` in one transaction, which is rolled back if `work` throws SQLite::Exception.
  [[nodiscard]] Status Write(Durability durability, const std::function<void(Connection&)>& work);
  // Runs `work` on a read-only snapshot. One reader at a time.
  [[nodiscard]] Status Read(const std::function<void(Connection&)>& work);

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  void OpenWriter() REQUIRES(mutex_);
  void OpenOrRenew() REQUIRES(mutex_);
  // Replaces the database with a new one that holds the intents readable from the old one. A crash
  // at any instant leaves either the old or the new database; FinishRenewal completes the
  // replacement.
  void Renew(const std::string& why) REQUIRES(mutex_);
  void FinishRenewal();
  void MoveAside(const std::string& why) REQUIRES(mutex_);
  [[nodiscard]] Error Report(const std::runtime_error& problem);

  const std::string path_;
  Health& health_;
  std::function<void()> renewed_;

  Mutex mutex_;  // held for the whole of a transaction
  std::unique_ptr<Connection> writer_ GUARDED_BY(mutex_);
  Durability durability_ GUARDED_BY(mutex_) = Durability::kLazy;
  std::chrono::steady_clock::time_point next_try_ GUARDED_BY(mutex_);

  Mutex reader_mutex_;  // taken alone, or after mutex_
  std::unique_ptr<Connection> reader_ GUARDED_BY(reader_mutex_);
  // set by a reader; the next writer makes the database anew
  std::atomic<bool> damage_seen_ = false;
};

// Intents as rows, for the journal and for carrying them into a new database. These functions throw
// SQLite::Exception.
void InsertIntent(Connection& connection, std::int64_t id, const Intent& intent);
[[nodiscard]] std::vector<std::pair<std::int64_t, Intent>> SelectIntents(Connection& connection);

}  // namespace tierfs
