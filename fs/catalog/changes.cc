#include "fs/catalog/changes.h"

#include <charconv>
#include <set>

namespace tierfs {

Full CanAnswer(Connection& connection, LayerIndex tier, const std::optional<Token>& since) {
  if (!since) return Full::kNoToken;
  if (since->database != DatabaseId(connection)) return Full::kOtherDatabase;
  // A token from the future was given by a newer database, which an older copy has since replaced.
  if (since->seq > MetaNumber(connection, "seq")) return Full::kOtherDatabase;
  if (since->seq < MetaNumber(connection, TierKey("kept", tier))) return Full::kTooOld;
  return Full::kNo;
}

std::optional<Token> Token::Parse(const std::string& text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string::npos || dash == 0) return std::nullopt;
  Token token;
  token.database = text.substr(0, dash);
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data() + dash + 1, end, token.seq);
  if (problem != std::errc() || stop != end || token.seq < 0) return std::nullopt;
  return token;
}

Full ListChanges(Connection& connection, LayerIndex tier, const std::optional<Token>& since,
                 const std::function<void(const ChangedPath&)>& visit) {
  const Full full = CanAnswer(connection, tier, since);
  SQLite::Statement& rows =
      full == Full::kNo
          ? connection.Use(
                "SELECT path, present, type, added, content, links, inode FROM entries INDEXED BY changed "
                "WHERE seq > 0 AND tier = ? AND seq > ? ORDER BY path")
          : connection.Use(
                "SELECT path, present, type, added, content, links, inode FROM entries WHERE tier = ? AND present ORDER BY path");
  rows.bind(1, tier);
  if (full == Full::kNo) rows.bind(2, since->seq);
  std::set<std::int64_t> linked;
  while (rows.executeStep()) {
    ChangedPath change;
    change.path = PathFromStored(BytesOf(rows.getColumn(0)));
    const bool present = rows.getColumn(1).getInt() != 0;
    change.whiteout = present && rows.getColumn(2).getUInt() == kWhiteoutType;
    if (!present) {
      change.what = 'D';
    } else if (full != Full::kNo || rows.getColumn(3).getInt64() > since->seq) {
      change.what = 'A';
    } else {
      change.what = rows.getColumn(4).getInt64() > since->seq ? 'M' : 'm';
    }
    if (full == Full::kNo && change.what != 'D' && rows.getColumn(5).getInt64() > 1) linked.insert(rows.getColumn(6).getInt64());
    visit(change);
  }
  // List the other names of an inode that got a new one, even if that name replaced another file. A
  // reader that copies only the new name would make a second file of it.
  for (const std::int64_t inode : linked) {
    SQLite::Statement& names = connection.Use(
        "SELECT path FROM entries INDEXED BY linked WHERE present AND links > 1 AND inode = ? AND tier = ? AND seq <= ? ORDER BY path");
    names.bind(1, inode);
    names.bind(2, tier);
    names.bind(3, since->seq);
    while (names.executeStep()) visit(ChangedPath{'m', false, PathFromStored(BytesOf(names.getColumn(0)))});
  }
  return full;
}

}  // namespace tierfs
