#pragma once

#include <fuse_lowlevel.h>

namespace tierfs {

// The callbacks of a mount; their user data is the Mount.
[[nodiscard]] const fuse_lowlevel_ops& Operations();

// Those on open files and directories, added to the table by Operations().
void AddFileOperations(fuse_lowlevel_ops& table);
void AddDirectoryOperations(fuse_lowlevel_ops& table);

}  // namespace tierfs
