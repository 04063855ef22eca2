// The rows of the table `entries`: what the feed knows of each path. Everything throws
// SQLite::Exception.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/catalog/connection.h"
#include "fs/catalog/observed.h"
#include "fs/tier/layer.h"

namespace tierfs {

using Sequence = std::int64_t;

struct Row {
  std::string path;
  Observed seen;         // not present: a deletion that is remembered
  Sequence seq = 0;      // of the newest change
  Sequence added = 0;    // of its coming into being
  Sequence content = 0;  // of its newest content
  Sequence hashed = 0;   // the content that the checksum is of
  std::string hash;      // 16 bytes, or none
};

[[nodiscard]] std::optional<Row> FindRow(Connection& connection, LayerIndex tier, const std::string& path);
void PutRow(Connection& connection, LayerIndex tier, const Row& row);
// Up to `limit` rows of `start` and beneath it, in order, those after the path `after` (or from the
// first on).
[[nodiscard]] std::vector<Row> RowsBeneath(Connection& connection, LayerIndex tier, const std::string& start,
                                           const std::optional<std::string>& after, int limit);
// Gives up to `limit` rows beneath `start`, those after the path `after`, whose number is at most
// `before` the number `seq`; `after` becomes the last of them. False when there are none.
[[nodiscard]] bool RenumberBeneath(Connection& connection, LayerIndex tier, const std::string& start, std::string& after, Sequence before,
                                   Sequence seq, std::size_t limit);
// The paths of the present rows that are names of an inode: those that were recorded as one of
// several, which an index finds, or any, for which every row is read.
enum class NameSearch : std::uint8_t { kOfSeveral, kAny };
struct LinkedName {
  LayerIndex tier;
  std::string path;
};
[[nodiscard]] std::vector<LinkedName> NamesOf(Connection& connection, std::uint64_t inode, NameSearch which);

// Files whose checksum is missing, or is that of an older content (first), after a path.
enum class Unhashed { kStale, kNever };
[[nodiscard]] std::vector<Row> UnhashedRows(Connection& connection, LayerIndex tier, Unhashed which, const std::string& after, int limit);
// Regular files in the order of their paths, those after a path.
[[nodiscard]] std::vector<Row> FileRows(Connection& connection, LayerIndex tier, const std::string& after, int limit);
// How many there are, and their sizes: all, or those with a checksum.
struct FileCount {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] FileCount CountFiles(Connection& connection, LayerIndex tier, bool all);
// Notes the checksum of the content that `row` was when it was read. The same sum as before means
// that the content never changed.
void PutHash(Connection& connection, LayerIndex tier, const Row& row, const std::string& hash);
// The rows whose content changed since their checksum lose it: somebody has been told of that
// change.
void ForgetStaleHashes(Connection& connection);

// Numbers in the table `meta`; 0 when absent.
[[nodiscard]] std::int64_t MetaNumber(Connection& connection, const std::string& key);
void SetMetaNumber(Connection& connection, const std::string& key, std::int64_t value);
[[nodiscard]] std::string DatabaseId(Connection& connection);
// "kept.2": the oldest token that can be answered for a tier; "built.2": it has been read whole.
[[nodiscard]] std::string TierKey(const char* what, LayerIndex tier);

// Keeps at most `keep` deletions; older ones go, and with them the answers to older tokens.
void PruneDeletions(Connection& connection, std::int64_t keep);

}  // namespace tierfs
