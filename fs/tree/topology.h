#pragma once

#include "fs/os/mutex.h"

namespace tierfs {

// Held together by every operation that walks paths; exclusively while a directory changes its
// place, so that every path beneath it does.
using Topology = SharedMutex;

}  // namespace tierfs
