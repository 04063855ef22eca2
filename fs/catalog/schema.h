// The tables of the catalogue, and their migration from older versions.
#pragma once

#include "fs/catalog/connection.h"

namespace tierfs {

// Migrates a database of any older version to this one; version 0 is an empty file. Uses one
// transaction for each version. Throws SQLite::Exception.
inline constexpr int kSchemaVersion = 1;
void Migrate(Connection& connection, int from);

}  // namespace tierfs
