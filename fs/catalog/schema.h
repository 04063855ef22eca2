// The tables, and how older ones become newer ones.
#pragma once

#include "fs/catalog/connection.h"

namespace tierfs {

// Brings the database of any older version up to this one's (0: an empty file). One transaction a
// version. Throws.
inline constexpr int kSchemaVersion = 1;
void Migrate(Connection& connection, int from);

}  // namespace tierfs
