// Writes what a commit holds into a directory.
#pragma once

#include <string>

#include "fs/jobs/history/repository.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {

// Makes `name` in the directory `dir`, where nothing of that name may be, with all attributes; a
// directory is empty. `content` is that of a file, or the target of a symlink. Only the caller may
// be able to write to `dir`: nobody can put another entry in the place of a new one. A file is
// private until it is complete. Returns the entry; a file is open for reading too. Nothing is
// durable yet.
[[nodiscard]] Result<UniqueFd> MakeItem(int dir, const char* name, const Attributes& attributes, const std::string& content);
// Gives the open entry (O_PATH will do) the owner, the extended attributes (others are removed) and
// at last the mode.
[[nodiscard]] Status SetAttributes(int entry, const Attributes& attributes);

// Writes the items into `directory`, an open and empty directory of the caller's own: content,
// owners, modes, extended attributes, symlinks, empty directories, special files. Every file is
// private until it is complete. The first error ends it.
[[nodiscard]] Outcome<void> Materialise(const Repository& repository, const Items& items, int directory);

}  // namespace tierfs::history
