// The query that the feed answers: the changes in a tier since a token.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fs/catalog/entries.h"

namespace tierfs {

// A point in the history of one database, rendered as "ID-NUMBER".
struct Token {
  std::string database;
  Sequence seq = 0;

  [[nodiscard]] std::string Render() const { return database + "-" + std::to_string(seq); }
  [[nodiscard]] static std::optional<Token> Parse(const std::string& text);
};

struct ChangedPath {
  char what = 'A';  // A added, M content, m metadata only, D deleted
  // Not set for D. A whiteout stands at the path; it is an entry of the tree like any other.
  bool whiteout = false;
  std::string path;  // "" is the tree itself
};

// The reason why a listing holds every entry rather than the changes only.
enum class Full { kNo, kNoToken, kOtherDatabase, kTooOld };

// Whether the changes since the token are known. kNo means that they are.
[[nodiscard]] Full CanAnswer(Connection& connection, LayerIndex tier, const std::optional<Token>& since);

// Lists each path once, with its last state, in the order of a walk. The unchanged names of files
// that got another name follow as metadata changes. Without a token, or with one that cannot be
// answered, every entry is listed as added. Throws SQLite::Exception.
Full ListChanges(Connection& connection, LayerIndex tier, const std::optional<Token>& since,
                 const std::function<void(const ChangedPath&)>& visit);

}  // namespace tierfs
