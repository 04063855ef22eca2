// The rows of the table `entries`: the feed's knowledge of each path. Every function throws
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
  Observed seen;         // present is false for a remembered deletion
  Sequence seq = 0;      // batch of the newest change
  Sequence added = 0;    // batch in which it appeared
  Sequence content = 0;  // batch of its newest content
  Sequence hashed = 0;   // the content that the checksum belongs to
  std::string hash;      // 16 bytes, or empty
};

[[nodiscard]] std::optional<Row> FindRow(Connection& connection, LayerIndex tier, const std::string& path);
void PutRow(Connection& connection, LayerIndex tier, const Row& row);
// Returns up to `limit` rows of `start` and the paths beneath it, in order. Begins after the path
// `after`, or at the first row.
[[nodiscard]] std::vector<Row> RowsBeneath(Connection& connection, LayerIndex tier, const std::string& start,
                                           const std::optional<std::string>& after, int limit);
// Gives the number `seq` to up to `limit` rows beneath `start` that come after the path `after` and
// whose number is at most `before`. Sets `after` to the last of them. Returns false when there are
// none.
[[nodiscard]] bool RenumberBeneath(Connection& connection, LayerIndex tier, const std::string& start, std::string& after, Sequence before,
                                   Sequence seq, std::size_t limit);
// Selects which present rows count as names of an inode. kOfSeveral: rows recorded with several
// links, found through an index. kAny: any row; every row is read.
enum class NameSearch : std::uint8_t { kOfSeveral, kAny };
struct LinkedName {
  LayerIndex tier;
  std::string path;
};
[[nodiscard]] std::vector<LinkedName> NamesOf(Connection& connection, std::uint64_t inode, NameSearch which);

// Files whose checksum belongs to an older content (kStale), or that have none (kNever).
enum class Unhashed { kStale, kNever };
[[nodiscard]] std::vector<Row> UnhashedRows(Connection& connection, LayerIndex tier, Unhashed which, const std::string& after, int limit);
// Returns regular files in the order of their paths, beginning after a path.
[[nodiscard]] std::vector<Row> FileRows(Connection& connection, LayerIndex tier, const std::string& after, int limit);
// The number of files and the sum of their sizes: of all files, or of those with a checksum.
struct FileCount {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] FileCount CountFiles(Connection& connection, LayerIndex tier, bool all);
// Stores the checksum of the content that `row` described when it was read. If the sum equals the
// previous one, the content counts as never changed.
void PutHash(Connection& connection, LayerIndex tier, const Row& row, const std::string& hash);
// Removes the checksums of rows whose content changed since they were taken. Call it once that
// change has been reported to a client.
void ForgetStaleHashes(Connection& connection);

// Numbers in the table `meta`. An absent number is 0.
[[nodiscard]] std::int64_t MetaNumber(Connection& connection, const std::string& key);
void SetMetaNumber(Connection& connection, const std::string& key, std::int64_t value);
[[nodiscard]] std::string DatabaseId(Connection& connection);
// "kept.2": the oldest token that can be answered for tier 2. "built.2": tier 2 has been read in
// full.
[[nodiscard]] std::string TierKey(const char* what, LayerIndex tier);

// Keeps at most `keep` deletions. Older ones are removed, and older tokens can then no longer be
// answered.
void PruneDeletions(Connection& connection, std::int64_t keep);

}  // namespace tierfs
