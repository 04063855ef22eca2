// umount(8) on a machine where others look around.
#pragma once

#include <string>

namespace tierfs::test {

// 0, or errno. Waits while the mount is busy, a minute at most: whoever goes over all mounts, as df
// and xfs_io do, keeps each busy for a moment, and a process that has ended may still be closing
// its files.
int UnmountWhenFree(const std::string& mountpoint);

}  // namespace tierfs::test
