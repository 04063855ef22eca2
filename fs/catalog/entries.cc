#include "fs/catalog/entries.h"

namespace tierfs {
namespace {

#define TIERFS_ROW_COLUMNS "path, present, type, inode, links, size, mtime, ctime, seq, added, content, hashed, hash"

Row RowOf(SQLite::Statement& statement) {
  Row row;
  row.path = PathFromStored(BytesOf(statement.getColumn(0)));
  row.seen.present = statement.getColumn(1).getInt() != 0;
  row.seen.type = statement.getColumn(2).getUInt();
  row.seen.inode = static_cast<std::uint64_t>(statement.getColumn(3).getInt64());
  row.seen.links = static_cast<std::uint64_t>(statement.getColumn(4).getInt64());
  row.seen.size = statement.getColumn(5).getInt64();
  row.seen.mtime = statement.getColumn(6).getInt64();
  row.seen.ctime = statement.getColumn(7).getInt64();
  row.seq = statement.getColumn(8).getInt64();
  row.added = statement.getColumn(9).getInt64();
  row.content = statement.getColumn(10).getInt64();
  row.hashed = statement.getColumn(11).getInt64();
  row.hash = BytesOf(statement.getColumn(12));
  return row;
}

std::vector<Row> AllRows(SQLite::Statement& statement) {
  std::vector<Row> rows;
  while (statement.executeStep()) rows.push_back(RowOf(statement));
  return rows;
}

}  // namespace

std::optional<Row> FindRow(Connection& connection, LayerIndex tier, const std::string& path) {
  SQLite::Statement& find = connection.Use("SELECT " TIERFS_ROW_COLUMNS " FROM entries WHERE tier = ? AND path = ?");
  find.bind(1, tier);
  BindBytes(find, 2, StoredPath(path));
  if (!find.executeStep()) return std::nullopt;
  return RowOf(find);
}

void PutRow(Connection& connection, LayerIndex tier, const Row& row) {
  SQLite::Statement& put =
      connection.Use("INSERT OR REPLACE INTO entries(tier, " TIERFS_ROW_COLUMNS ") VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  put.bind(1, tier);
  BindBytes(put, 2, StoredPath(row.path));
  put.bind(3, row.seen.present ? 1 : 0);
  put.bind(4, row.seen.type);
  put.bind(5, static_cast<std::int64_t>(row.seen.inode));
  put.bind(6, static_cast<std::int64_t>(row.seen.links));
  put.bind(7, row.seen.size);
  put.bind(8, row.seen.mtime);
  put.bind(9, row.seen.ctime);
  put.bind(10, row.seq);
  put.bind(11, row.added);
  put.bind(12, row.content);
  put.bind(13, row.hashed);
  if (!row.hash.empty()) BindBytes(put, 14, row.hash);
  put.exec();
}

std::vector<Row> RowsBeneath(Connection& connection, LayerIndex tier, const std::string& start, const std::optional<std::string>& after,
                             int limit) {
  // Paths beneath "a" begin with "a\0" and are less than "a\1". "a" itself sorts before all of
  // them, but "a!" and the like may sort in between.
  const std::string stored = StoredPath(start);
  SQLite::Statement& rows =
      start.empty()
          ? connection.Use("SELECT " TIERFS_ROW_COLUMNS " FROM entries WHERE tier = ? AND path > ? ORDER BY path LIMIT ?")
          : connection.Use("SELECT " TIERFS_ROW_COLUMNS " FROM entries WHERE tier = ? AND path > ? AND path < ? ORDER BY path LIMIT ?");
  rows.bind(1, tier);
  std::vector<Row> result;
  if (!after) {
    if (auto row = FindRow(connection, tier, start)) result.push_back(std::move(*row));
    BindBytes(rows, 2, start.empty() ? "" : stored + std::string(1, '\0'));
  } else if (*after == start) {
    BindBytes(rows, 2, start.empty() ? "" : stored + std::string(1, '\0'));
  } else {
    BindBytes(rows, 2, StoredPath(*after));
  }
  if (!start.empty()) BindBytes(rows, 3, stored + '\1');
  rows.bind(start.empty() ? 3 : 4, limit);
  for (Row& row : AllRows(rows)) result.push_back(std::move(row));
  return result;
}

bool RenumberBeneath(Connection& connection, LayerIndex tier, const std::string& start, std::string& after, Sequence before, Sequence seq,
                     std::size_t limit) {
  const std::string stored = StoredPath(start);
  const std::string first = after == start ? stored + std::string(start.empty() ? 0 : 1, '\0') : StoredPath(after);
  const std::string end = start.empty() ? "" : stored + '\1';
  SQLite::Statement& find = connection.Use(
      "SELECT max(path) FROM (SELECT path FROM entries WHERE tier = ?1 AND path > ?2 AND (?3 = x'' OR path < ?3) AND seq <= ?4 "
      "ORDER BY path LIMIT ?5)");
  find.bind(1, tier);
  BindBytes(find, 2, first);
  BindBytes(find, 3, end);
  find.bind(4, before);
  find.bind(5, static_cast<std::int64_t>(limit));
  if (!find.executeStep() || find.getColumn(0).isNull()) return false;
  const std::string last = BytesOf(find.getColumn(0));
  find.reset();
  SQLite::Statement& renumber = connection.Use("UPDATE entries SET seq = ?1 WHERE tier = ?2 AND path > ?3 AND path <= ?4 AND seq <= ?5");
  renumber.bind(1, seq);
  renumber.bind(2, tier);
  BindBytes(renumber, 3, first);
  BindBytes(renumber, 4, last);
  renumber.bind(5, before);
  renumber.exec();
  after = PathFromStored(last);
  return true;
}

std::vector<LinkedName> NamesOf(Connection& connection, std::uint64_t inode, NameSearch which) {
  std::vector<LinkedName> names;
  SQLite::Statement& find = which == NameSearch::kOfSeveral
                                ? connection.Use("SELECT tier, path FROM entries WHERE present AND links > 1 AND inode = ?")
                                : connection.Use("SELECT tier, path FROM entries WHERE present AND inode = ?");
  find.bind(1, static_cast<std::int64_t>(inode));
  while (find.executeStep()) {
    names.push_back({static_cast<LayerIndex>(find.getColumn(0).getInt()), PathFromStored(BytesOf(find.getColumn(1)))});
  }
  return names;
}

std::vector<Row> UnhashedRows(Connection& connection, LayerIndex tier, Unhashed which, const std::string& after, int limit) {
  SQLite::Statement& rows = which == Unhashed::kStale
                                ? connection.Use("SELECT " TIERFS_ROW_COLUMNS
                                                 " FROM entries INDEXED BY stale WHERE present AND hash IS NOT NULL AND "
                                                 "hashed <> content AND tier = ? AND path > ? ORDER BY path LIMIT ?")
                                : connection.Use("SELECT " TIERFS_ROW_COLUMNS
                                                 " FROM entries INDEXED BY unhashed WHERE present AND type = 32768 AND "
                                                 "hash IS NULL AND tier = ? AND path > ? ORDER BY path LIMIT ?");
  rows.bind(1, tier);
  BindBytes(rows, 2, StoredPath(after));
  rows.bind(3, limit);
  return AllRows(rows);
}

std::vector<Row> FileRows(Connection& connection, LayerIndex tier, const std::string& after, int limit) {
  SQLite::Statement& rows = connection.Use("SELECT " TIERFS_ROW_COLUMNS
                                           " FROM entries WHERE tier = ? AND path > ? AND present AND type = 32768 ORDER BY path LIMIT ?");
  rows.bind(1, tier);
  BindBytes(rows, 2, StoredPath(after));
  rows.bind(3, limit);
  return AllRows(rows);
}

FileCount CountFiles(Connection& connection, LayerIndex tier, bool all) {
  SQLite::Statement& count = connection.Use(
      "SELECT count(*), ifnull(sum(size), 0) FROM entries WHERE tier = ?1 AND present AND type = 32768 AND (?2 OR hash IS NOT NULL)");
  count.bind(1, tier);
  count.bind(2, all ? 1 : 0);
  if (!count.executeStep()) return {};
  return {static_cast<std::uint64_t>(count.getColumn(0).getInt64()), static_cast<std::uint64_t>(count.getColumn(1).getInt64())};
}

void PutHash(Connection& connection, LayerIndex tier, const Row& row, const std::string& hash) {
  SQLite::Statement& put = connection.Use(
      "UPDATE entries SET content = CASE WHEN hash = ?1 THEN hashed ELSE content END, "
      "hashed = CASE WHEN hash = ?1 THEN hashed ELSE content END, hash = ?1 "
      "WHERE tier = ?2 AND path = ?3 AND present AND type = 32768 AND inode = ?4 AND size = ?5 AND mtime = ?6 AND ctime = ?7");
  BindBytes(put, 1, hash);
  put.bind(2, tier);
  BindBytes(put, 3, StoredPath(row.path));
  put.bind(4, static_cast<std::int64_t>(row.seen.inode));
  put.bind(5, row.seen.size);
  put.bind(6, row.seen.mtime);
  put.bind(7, row.seen.ctime);
  put.exec();
}

void ForgetStaleHashes(Connection& connection) {
  connection.Use("UPDATE entries SET hash = NULL WHERE present AND hash IS NOT NULL AND hashed <> content").exec();
}

std::int64_t MetaNumber(Connection& connection, const std::string& key) {
  SQLite::Statement& get = connection.Use("SELECT value FROM meta WHERE key = ?");
  get.bind(1, key);
  return get.executeStep() ? get.getColumn(0).getInt64() : 0;
}

void SetMetaNumber(Connection& connection, const std::string& key, std::int64_t value) {
  SQLite::Statement& set = connection.Use("INSERT OR REPLACE INTO meta VALUES(?, ?)");
  set.bind(1, key);
  set.bind(2, value);
  set.exec();
}

std::string DatabaseId(Connection& connection) {
  SQLite::Statement& get = connection.Use("SELECT value FROM meta WHERE key = 'id'");
  return get.executeStep() ? get.getColumn(0).getString() : "";
}

std::string TierKey(const char* what, LayerIndex tier) { return std::string(what) + "." + std::to_string(tier + 1); }

void PruneDeletions(Connection& connection, std::int64_t keep) {
  SQLite::Statement& count = connection.Use("SELECT count(*) FROM entries INDEXED BY gone WHERE NOT present");
  count.executeStep();
  if (count.getColumn(0).getInt64() <= keep) return;
  // Keep half of the permitted number, so that pruning is not needed at every deletion.
  SQLite::Statement& edge = connection.Use("SELECT seq FROM entries INDEXED BY gone WHERE NOT present ORDER BY seq DESC LIMIT 1 OFFSET ?");
  edge.bind(1, keep / 2);
  if (!edge.executeStep()) return;
  const Sequence last = edge.getColumn(0).getInt64();
  edge.reset();
  SQLite::Statement& remove = connection.Use("DELETE FROM entries WHERE NOT present AND seq <= ?");
  remove.bind(1, last);
  remove.exec();
  for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
    const std::string key = TierKey("kept", tier);
    if (MetaNumber(connection, key) < last) SetMetaNumber(connection, key, last);
  }
}

}  // namespace tierfs
