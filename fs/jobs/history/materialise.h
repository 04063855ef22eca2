// Writes what a commit holds into a directory.
#pragma once

#include <functional>
#include <string>

#include "fs/jobs/history/repository.h"

namespace tierfs::history {

// Writes the items into `directory`, an open and empty directory: content, owners, modes, extended
// attributes, symlinks, empty directories, special files. Every file is private until it is
// complete. The first error ends it.
[[nodiscard]] Outcome<void> Materialise(const Repository& repository, const Items& items, int directory);

}  // namespace tierfs::history
