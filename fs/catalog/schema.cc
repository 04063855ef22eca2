#include "fs/catalog/schema.h"

#include "fs/os/fault.h"
#include "fs/os/random_id.h"

namespace tierfs {
namespace {

// meta: `id` is the random name of this database. `seq` is the number of the last batch of changes.
// `kept.N`: tokens of tier N older than this cannot be answered. `built.N`: tier N has been read in
// full once.
//
// intents: the operations under way, with their steps.
//
// entries: the feed's knowledge of the tracked trees. Paths are as StoredPath gives them. A row
// that is not present is a remembered deletion; type 0 is a whiteout. `seq` is the batch of the
// newest change; `added` and `content` are the batches of the entry's appearance and of its newest
// content. 0 means "since for ever": older than every token, and not indexed. The checksum (XXH3,
// 128 bits) belongs to the content of batch `hashed`. Times are in nanoseconds. `links` is the link
// count when it was seen.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE intents(id INTEGER PRIMARY KEY, what BLOB NOT NULL);
CREATE TABLE steps(
  intent INTEGER NOT NULL REFERENCES intents(id) ON DELETE CASCADE, n INTEGER NOT NULL,
  kind INTEGER NOT NULL, layer INTEGER NOT NULL, to_layer INTEGER NOT NULL, path BLOB NOT NULL, target BLOB NOT NULL, inode INTEGER NOT NULL,
  PRIMARY KEY(intent, n)) WITHOUT ROWID;
CREATE TABLE entries(
  tier INTEGER NOT NULL, path BLOB NOT NULL, present INTEGER NOT NULL, type INTEGER NOT NULL, inode INTEGER NOT NULL, links INTEGER NOT NULL,
  size INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
  seq INTEGER NOT NULL, added INTEGER NOT NULL, content INTEGER NOT NULL, hashed INTEGER NOT NULL, hash BLOB,
  PRIMARY KEY(tier, path)) WITHOUT ROWID;
CREATE INDEX changed ON entries(tier, seq) WHERE seq > 0;
CREATE INDEX unhashed ON entries(tier, path) WHERE present AND type = 32768 AND hash IS NULL;
CREATE INDEX stale ON entries(tier, path) WHERE present AND hash IS NOT NULL AND hashed <> content;
CREATE INDEX gone ON entries(seq) WHERE NOT present;
CREATE INDEX linked ON entries(inode) WHERE present AND links > 1;
INSERT INTO meta VALUES('seq', 1);
)sql";

}  // namespace

void Migrate(Connection& connection, int from) {
  if (from == 0) {
    // Takes effect only before the first table is created.
    connection.Run("PRAGMA auto_vacuum = INCREMENTAL");
    connection.Run("BEGIN IMMEDIATE");
    connection.Run(kVersion1);
    Fault::Here("catalogue.made");
    SQLite::Statement& id = connection.Use("INSERT INTO meta VALUES('id', ?)");
    id.bind(1, RandomId(2));
    id.exec();
    connection.Run("PRAGMA user_version = 1");
    connection.Run("COMMIT");
  }
}

}  // namespace tierfs
