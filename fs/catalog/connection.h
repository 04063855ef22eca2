// A connection to the database with the statements that were prepared on it.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <map>
#include <memory>
#include <string>

namespace tierfs {

// Used by one thread at a time. Everything throws SQLite::Exception.
class Connection {
 public:
  // `flags` as SQLite::OPEN_*.
  Connection(const std::string& path, int flags);

  // The statement of a literal, reset and with nothing bound; prepared at its first use. No two
  // uses of one literal at once.
  [[nodiscard]] SQLite::Statement& Use(const char* sql);
  void Run(const char* sql) { database_.exec(sql); }
  // Ends every read that is under way.
  void ResetAll();
  [[nodiscard]] SQLite::Database& database() { return database_; }

 private:
  SQLite::Database database_;
  std::map<const char*, std::unique_ptr<SQLite::Statement>> statements_;  // by the address of the literal
};

// Bytes in and out.
void BindBytes(SQLite::Statement& statement, int index, const std::string& bytes);
[[nodiscard]] std::string BytesOf(const SQLite::Column& column);

// Paths of entries are stored with '\0' for '/': then the byte order of stored paths is the order
// of a depth-first walk, and what is beneath a directory is one range.
[[nodiscard]] std::string StoredPath(std::string path);
[[nodiscard]] std::string PathFromStored(std::string stored);

}  // namespace tierfs
