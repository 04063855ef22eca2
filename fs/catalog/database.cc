#include "fs/catalog/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <set>

#include "fs/catalog/schema.h"
#include "fs/os/fault.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kKeptDamaged = 3;
constexpr const char* kNew = ".new";  // a database that is about to replace the old one
// The files of a database: the database itself, its write-ahead log, and the rollback journal of
// one that has no log yet. A log or journal left behind would be applied to the next database.
constexpr std::array<const char*, 4> kParts = {"", "-wal", "-shm", "-journal"};
constexpr auto kRetry = std::chrono::seconds(5);

// The file is not a catalogue, or its version is unknown to this program.
class Unusable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

bool IsDamage(const std::runtime_error& problem) {
  if (dynamic_cast<const Unusable*>(&problem) != nullptr) return true;
  const auto* sqlite = dynamic_cast<const SQLite::Exception*>(&problem);
  if (sqlite == nullptr) return false;
  const int code = sqlite->getErrorCode();
  // SQLITE_ERROR: a statement does not fit the existing tables.
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR || code == SQLITE_FORMAT || code == SQLITE_MISMATCH;
}

int ErrnoOf(const std::runtime_error& problem) {
  if (IsDamage(problem)) return EUCLEAN;
  const auto* sqlite = dynamic_cast<const SQLite::Exception*>(&problem);
  switch (sqlite == nullptr ? 0 : sqlite->getErrorCode()) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_READONLY:
      return EROFS;
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    case SQLITE_NOMEM:
      return ENOMEM;
    default:
      return EIO;
  }
}

void RemoveDatabaseFiles(const std::string& path) {
  std::error_code ignored;
  for (const char* part : kParts) fs::remove_all(path + part, ignored);
}

std::vector<std::pair<std::int64_t, Intent>> Salvage(const std::string& path) {
  try {
    Connection old(path, SQLite::OPEN_READONLY);
    return SelectIntents(old);
  } catch (const SQLite::Exception&) {
    return {};
  }
}

}  // namespace

Database::Database(const std::string& state_dir, Health& health) : path_(state_dir + "/catalog.db"), health_(health) {
  const Lock lock(mutex_);
  try {
    FinishRenewal();
    OpenOrRenew();
  } catch (const std::runtime_error& problem) {
    (void)Report(problem);
  }
}

void Database::OpenWriter() {
  next_try_ = std::chrono::steady_clock::now() + kRetry;
  auto writer = std::make_unique<Connection>(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
  const int version = writer->database().execAndGet("PRAGMA user_version").getInt();
  if (version > kSchemaVersion || version < 0)
    throw Unusable("it is of version " + std::to_string(version) + ", this is version " + std::to_string(kSchemaVersion));
  if (version == 0 && writer->database().execAndGet("SELECT count(*) FROM sqlite_master").getInt() != 0)
    throw Unusable("it is not a catalogue");
  if (version < kSchemaVersion) Migrate(*writer, version);
  writer->Run("PRAGMA journal_mode = WAL");
  writer->Run("PRAGMA synchronous = NORMAL");
  writer->Run("PRAGMA foreign_keys = ON");
  writer->Run("PRAGMA journal_size_limit = 16777216");
  writer->Run("PRAGMA cache_size = -16384");
  // Reads the head of each table and proves that the file is writable.
  writer->Run("BEGIN IMMEDIATE");
  writer->Run("UPDATE meta SET value = value WHERE key = 'seq'");
  (void)SelectIntents(*writer);
  (void)writer->database().execAndGet("SELECT 1 FROM meta WHERE key = 'id'");
  (void)writer->database().execAndGet("SELECT max(length(path)) FROM (SELECT path FROM entries LIMIT 1)");
  writer->Run("COMMIT");
  durability_ = Durability::kLazy;
  writer_ = std::move(writer);
}

void Database::OpenOrRenew() {
  try {
    OpenWriter();
  } catch (const std::runtime_error& problem) {
    if (!IsDamage(problem)) throw;
    Renew(problem.what());
  }
}

void Database::Renew(const std::string& why) {
  const std::string next = path_ + kNew;
  RemoveDatabaseFiles(next);
  {
    // The new database, with the intents of the old one, must be complete and durable before the
    // old one is removed.
    Connection made(next, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    made.Run("PRAGMA synchronous = EXTRA");
    Migrate(made, 0);
    made.Run("BEGIN IMMEDIATE");
    for (const auto& [id, intent] : Salvage(path_)) InsertIntent(made, id, intent);
    made.ResetAll();
    made.Run("COMMIT");
  }
  Fault::Here("catalogue.renewed");
  MoveAside(why);
  FinishRenewal();
  OpenWriter();
}

void Database::FinishRenewal() {
  const std::string next = path_ + kNew;
  std::error_code ignored;
  if (!fs::exists(next, ignored)) return;
  // The old database has not been moved aside yet.
  if (fs::exists(path_, ignored)) return RemoveDatabaseFiles(next);
  // A leftover log of the old database would be applied to the new one.
  RemoveDatabaseFiles(path_);
  std::error_code problem;
  fs::rename(next, path_, problem);
  if (problem) throw std::runtime_error(next + ": " + problem.message());
  const UniqueFd directory(::open(fs::path(path_).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) (void)::fsync(directory.get());
}

void Database::MoveAside(const std::string& why) {
  writer_.reset();
  {
    const Lock lock(reader_mutex_);
    reader_.reset();
  }
  const fs::path here(path_);
  const std::string prefix = here.filename().string() + ".damaged-";
  std::error_code ignored;
  std::set<unsigned long> numbers;
  for (const auto& entry : fs::directory_iterator(here.parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind(prefix, 0) != 0) continue;
    numbers.insert(std::strtoul(name.c_str() + prefix.size(), nullptr, 10));
  }
  const unsigned long next = numbers.empty() ? 1 : *numbers.rbegin() + 1;
  const std::string aside = path_ + ".damaged-" + std::to_string(next);
  // Move the database before its log: a database without its log lacks its last transactions.
  for (const char* part : kParts) {
    fs::rename(path_ + part, aside + part, ignored);
    if (fs::exists(path_ + part, ignored)) fs::remove_all(path_ + part, ignored);
    Fault::Here("catalogue.aside");
  }
  while (numbers.size() >= kKeptDamaged) {
    RemoveDatabaseFiles(path_ + ".damaged-" + std::to_string(*numbers.begin()));
    numbers.erase(numbers.begin());
  }
  health_.Note("the database could not be used (" + why + "); it is now " + aside + ", and a new one is built from the trees");
}

Error Database::Report(const std::runtime_error& problem) {
  const int code = ErrnoOf(problem);
  health_.Trouble(Health::Of::kDatabase,
                  path_ + ": " + problem.what() + (code == EUCLEAN ? "" : "; going on without the feed and the journal until it works"));
  return Error{code, "the catalogue"};
}

Status Database::Write(Durability durability, const std::function<void(Connection&)>& work) {
  Lock lock(mutex_);
  bool renewed = false;
  Status status = Fail(EIO, "the catalogue cannot be used");
  try {
    if (!writer_) {
      if (std::chrono::steady_clock::now() < next_try_) return status;
      OpenOrRenew();
      renewed = true;
    } else if (damage_seen_.exchange(false)) {
      Renew("a reader found it damaged");
      renewed = true;
    }
    if (durability != durability_) {
      writer_->Run(durability == Durability::kDurable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
      durability_ = durability;
    }
    writer_->Run("BEGIN IMMEDIATE");
    work(*writer_);
    writer_->ResetAll();  // an open read would keep the log from being truncated
    writer_->Run("COMMIT");
    health_.Recovered(Health::Of::kDatabase);
    status = {};
  } catch (const std::runtime_error& problem) {
    status = tl::unexpected(Report(problem));
    if (writer_) {
      writer_->ResetAll();
      if (sqlite3_get_autocommit(writer_->database().getHandle()) == 0) writer_->database().tryExec("ROLLBACK");
    }
    if (IsDamage(problem)) {
      try {
        Renew(problem.what());
        renewed = true;
      } catch (const std::runtime_error& again) {
        (void)Report(again);
      }
    }
  }
  lock.unlock();
  if (renewed && renewed_) renewed_();
  return status;
}

Status Database::Read(const std::function<void(Connection&)>& work) {
  const Lock lock(reader_mutex_);
  try {
    if (!reader_) reader_ = std::make_unique<Connection>(path_, SQLite::OPEN_READONLY);
    reader_->Run("BEGIN");
    work(*reader_);
    reader_->ResetAll();
    reader_->Run("COMMIT");
    return {};
  } catch (const SQLite::Exception& problem) {
    reader_.reset();
    if (IsDamage(problem)) damage_seen_ = true;
    return tl::unexpected(Report(problem));
  }
}

void InsertIntent(Connection& connection, std::int64_t id, const Intent& intent) {
  SQLite::Statement& head = connection.Use("INSERT OR IGNORE INTO intents VALUES(?, ?)");
  head.bind(1, id);
  BindBytes(head, 2, intent.what);
  if (head.exec() == 0) return;  // the intent is already there
  for (std::size_t n = 0; n < intent.steps.size(); ++n) {
    const Step& step = intent.steps[n];
    SQLite::Statement& row = connection.Use("INSERT INTO steps VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
    row.bind(1, id);
    row.bind(2, static_cast<std::int64_t>(n));
    row.bind(3, static_cast<int>(step.kind));
    row.bind(4, static_cast<int>(step.layer));
    row.bind(5, static_cast<int>(step.to_layer));
    BindBytes(row, 6, step.path);
    BindBytes(row, 7, step.to);
    row.bind(8, static_cast<std::int64_t>(step.inode));
    row.exec();
  }
}

std::vector<std::pair<std::int64_t, Intent>> SelectIntents(Connection& connection) {
  std::vector<std::pair<std::int64_t, Intent>> intents;
  SQLite::Statement& heads = connection.Use("SELECT id, what FROM intents ORDER BY id");
  while (heads.executeStep()) intents.emplace_back(heads.getColumn(0).getInt64(), Intent{BytesOf(heads.getColumn(1)), {}});
  for (auto& [id, intent] : intents) {
    SQLite::Statement& rows = connection.Use("SELECT kind, layer, to_layer, path, target, inode FROM steps WHERE intent = ? ORDER BY n");
    rows.bind(1, id);
    while (rows.executeStep()) {
      Step step;
      step.kind = static_cast<Step::Kind>(rows.getColumn(0).getInt());
      step.layer = static_cast<std::uint8_t>(rows.getColumn(1).getInt());
      step.to_layer = static_cast<std::uint8_t>(rows.getColumn(2).getInt());
      step.path = BytesOf(rows.getColumn(3));
      step.to = BytesOf(rows.getColumn(4));
      step.inode = static_cast<std::uint64_t>(rows.getColumn(5).getInt64());
      intent.steps.push_back(std::move(step));
    }
  }
  return intents;
}

}  // namespace tierfs
