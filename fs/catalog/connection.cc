#include "fs/catalog/connection.h"

#include <algorithm>

namespace tierfs {
namespace {

constexpr int kBusyTimeoutMs = 10'000;  // for a checkpoint of another process

}  // namespace

Connection::Connection(const std::string& path, int flags) : database_(path, flags, kBusyTimeoutMs) {}

SQLite::Statement& Connection::Use(const char* sql) {
  auto& statement = statements_[sql];
  if (!statement) {
    statement = std::make_unique<SQLite::Statement>(database_, sql);
  } else {
    statement->tryReset();
    statement->clearBindings();
  }
  return *statement;
}

void Connection::ResetAll() {
  for (auto& [sql, statement] : statements_) {
    if (statement) statement->tryReset();
  }
}

void BindBytes(SQLite::Statement& statement, int index, const std::string& bytes) {
  statement.bind(index, static_cast<const void*>(bytes.data()), static_cast<int>(bytes.size()));
}

std::string BytesOf(const SQLite::Column& column) {
  const auto* data = static_cast<const char*>(column.getBlob());
  return data == nullptr ? std::string() : std::string(data, static_cast<std::size_t>(column.getBytes()));
}

std::string StoredPath(std::string path) {
  std::replace(path.begin(), path.end(), '/', '\0');
  return path;
}

std::string PathFromStored(std::string stored) {
  std::replace(stored.begin(), stored.end(), '\0', '/');
  return stored;
}

}  // namespace tierfs
