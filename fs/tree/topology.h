#pragma once

#include "fs/os/mutex.h"

namespace tierfs {

// Held shared by every operation that walks paths. Held exclusively while a directory moves,
// because every path beneath it then changes.
using Topology = SharedMutex;

}  // namespace tierfs
