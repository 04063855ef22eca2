// Reads, applies and clones the attributes of files: owner, mode, times, xattrs and ACLs.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

// The greatest length that the kernel allows for a value and for a list of names (limits.h:
// XATTR_SIZE_MAX, XATTR_LIST_MAX).
inline constexpr size_t kXattrLimit = 65536;

// chmod of an entry, without following a symlink (fchmodat2, Linux 6.6; before that through /proc).
[[nodiscard]] Status ChmodEntry(int dir, const char* name, mode_t mode);

// Returns the names of the xattrs of the file at `proc_path` (see ProcPath). Pass `follow` for a
// magic link to the file itself; otherwise the last component is not followed.
[[nodiscard]] Result<std::vector<std::string>> ListXattrs(const std::string& proc_path, bool follow);

// True for xattrs that belong to a tier tree's root or to overlayfs, not to the user's file.
[[nodiscard]] bool IsPrivateXattr(const std::string& name);
// True for the names under which XFS lists ACLs a second time. Their content is already in
// system.posix_acl_*, and no other file system understands them.
[[nodiscard]] bool IsShownOtherwise(const std::string& name);

// Gives the open file or directory `to` the owner, times, xattrs, ACLs and mode of `from`. Both may
// be ordinary or O_PATH descriptors. Private xattrs are left out. The owner is set first because a
// change of owner clears capabilities. The mode is set last: a directory made with
// kUnfinishedDirMode counts as unfinished until then.
[[nodiscard]] Status CloneAttributes(int from, const struct stat& from_stat, int to);

// The inode flags of a directory that CloneDirectoryFlags copies; 0 on a file system without any.
struct DirectoryFlags {
  int all = 0;
  int forbidding = 0;  // those that forbid an operation: append-only, immutable
};
[[nodiscard]] DirectoryFlags FlagsOfDirectory(int directory);

// Gives the directory `to` those inode flags of `from` that chattr(1) sets and that matter to a
// reader or a backup: append-only, immutable, no dump, no atime, synchronous, no copy-on-write.
// Does nothing on a file system without such flags.
[[nodiscard]] Status CloneDirectoryFlags(int from, int to);

// The same for the regular file `to`, which is empty and open for writing. Sets all flags but those
// that forbid changes (append-only, immutable), and returns these. AddFlags can set them once the
// file is complete and in its place.
[[nodiscard]] Result<int> CloneFileFlags(int from, int to);
[[nodiscard]] Status AddFlags(int file, int flags);

// Takes the append-only and the immutable flag from a file, if it can.
void DropProtection(int dir, const char* name);

// Returns EPERM if the entry itself is immutable or append-only. With an empty name, looks at
// `dir`.
[[nodiscard]] Status IsUnprotected(int dir, const char* name);

// Returns EPERM if the kernel would refuse to remove the entry whatever the caller's rights: the
// entry or its directory is immutable or append-only (FS_IOC_SETFLAGS, chattr(1)). Call it before
// any other step of an operation that includes the removal.
[[nodiscard]] Status MayBeRemoved(int dir, const char* name);

}  // namespace tierfs
