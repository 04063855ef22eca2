// umount(8) on a machine where other processes look at every mount.
#pragma once

#include <string>

namespace tierfs::test {

// Unmounts and returns 0 or an errno. Waits up to a minute while the mount is busy: df and xfs_io
// visit all mounts and keep each one busy for a moment, and a process that has ended may still be
// closing its files.
int UnmountWhenFree(const std::string& mountpoint);

}  // namespace tierfs::test
