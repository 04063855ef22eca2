// The question that the feed answers: what has changed in a tier since a token.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "fs/catalog/entries.h"

namespace tierfs {

// A place in the history of one database: "ID-NUMBER".
struct Token {
  std::string database;
  Sequence seq = 0;

  [[nodiscard]] std::string Render() const { return database + "-" + std::to_string(seq); }
  [[nodiscard]] static std::optional<Token> Parse(const std::string& text);
};

struct ChangedPath {
  char what = 'A';        // A added, M content, m metadata only, D deleted
  bool whiteout = false;  // not of D: the mark of a deleted lower entry stands there, an entry of the tree like any other
  std::string path;       // "" is the tree itself
};

// Why a listing is of everything there is, rather than of what changed.
enum class Full { kNo, kNoToken, kOtherDatabase, kTooOld };

// Whether the changes since the token are known; kNo is yes.
[[nodiscard]] Full CanAnswer(Connection& connection, LayerIndex tier, const std::optional<Token>& since);

// Each path once, with its last state, in the order of a walk; then, as metadata, the unchanged
// names of files that got another one. Without a token, or with one that cannot be answered, every
// entry as added. Throws SQLite::Exception.
Full ListChanges(Connection& connection, LayerIndex tier, const std::optional<Token>& since,
                 const std::function<void(const ChangedPath&)>& visit);

}  // namespace tierfs
