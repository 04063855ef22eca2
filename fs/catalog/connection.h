// A connection to the database, with its prepared statements.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <map>
#include <memory>
#include <string>

namespace tierfs {

// Owns one SQLite connection and its prepared statements. It has no lock: one thread at a time may
// use it. Every method throws SQLite::Exception.
class Connection {
 public:
  // `flags` are SQLite::OPEN_* flags.
  Connection(const std::string& path, int flags);

  // Returns the statement of a string literal, reset and without bindings. It is prepared at its
  // first use. A literal must not have two uses at the same time.
  [[nodiscard]] SQLite::Statement& Use(const char* sql);
  void Run(const char* sql) { database_.exec(sql); }
  // Ends every read under way.
  void ResetAll();
  [[nodiscard]] SQLite::Database& database() { return database_; }

 private:
  SQLite::Database database_;
  // Keyed by the address of the literal.
  std::map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

// Binds and reads byte strings.
void BindBytes(SQLite::Statement& statement, int index, const std::string& bytes);
[[nodiscard]] std::string BytesOf(const SQLite::Column& column);

// Stored paths of entries have '\0' in place of '/'. Their byte order is then the order of a
// depth-first walk, and everything beneath a directory is one range.
[[nodiscard]] std::string StoredPath(std::string path);
[[nodiscard]] std::string PathFromStored(std::string stored);

}  // namespace tierfs
