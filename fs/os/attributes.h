// Owner, mode, times, xattrs and ACLs: reading, applying and cloning them.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

// The longest value, and the longest list of names, that the kernel allows (limits.h:
// XATTR_SIZE_MAX, XATTR_LIST_MAX).
inline constexpr size_t kXattrLimit = 65536;

// chmod of an entry without following it when it is a symlink (fchmodat2, Linux 6.6; through /proc
// before that).
[[nodiscard]] Status ChmodEntry(int dir, const char* name, mode_t mode);

// Names of the xattrs of the file that `proc_path` (see ProcPath) names. `follow` for a magic link
// to the file itself; otherwise the last component is not followed.
[[nodiscard]] Result<std::vector<std::string>> ListXattrs(const std::string& proc_path, bool follow);

// True for the xattrs that belong to a tier tree's root or to overlayfs and not to the user's file.
[[nodiscard]] bool IsPrivateXattr(const std::string& name);
// True for the names under which XFS lists ACLs a second time: what they hold is in
// system.posix_acl_*, and is nothing to any other file system.
[[nodiscard]] bool IsShownOtherwise(const std::string& name);

// Gives the open file or directory `to` the owner, times, xattrs, ACLs and mode of `from` (both
// real or O_PATH descriptors). Private xattrs are left out. The owner comes first because changing
// it clears capabilities, the mode last: a directory that was made with kUnfinishedDirMode counts
// as unfinished until then.
[[nodiscard]] Status CloneAttributes(int from, const struct stat& from_stat, int to);

// Gives the directory `to` the inode flags of `from` that chattr(1) sets and that mean something to
// a reader or a backup: append-only, immutable, no dump, no atime, synchronous, no copy-on-write.
// Where a file system has no such flags there is nothing to give.
[[nodiscard]] Status CloneDirectoryFlags(int from, int to);

// EPERM where the kernel would refuse to remove the entry whatever the caller's rights: it, or its
// directory, is immutable or append-only (FS_IOC_SETFLAGS, chattr(1)). To be asked before something
// else is done that a removal belongs to.
[[nodiscard]] Status MayBeRemoved(int dir, const char* name);

}  // namespace tierfs
