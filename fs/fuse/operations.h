#pragma once

#include <fuse_lowlevel.h>

namespace tierfs {

// The callbacks of a mount. Their user data is the Mount.
[[nodiscard]] const fuse_lowlevel_ops& Operations();

// These add the callbacks on open files and directories to the table; called by Operations().
void AddFileOperations(fuse_lowlevel_ops& table);
void AddDirectoryOperations(fuse_lowlevel_ops& table);

}  // namespace tierfs
