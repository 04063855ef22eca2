// The complete state of a directory tree, to compare two trees.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

namespace tierfs::test {

struct Record {
  struct stat st {};
  std::size_t content_hash = 0;  // of a regular file
  std::string target;            // of a symlink
  // Without the xattrs of overlayfs and of a tier's root.
  std::map<std::string, std::string> xattrs;
  ino_t listed_ino = 0;  // the inode number in the listing of its directory
  unsigned char listed_type = 0;
};

// By path relative to the root; the root itself is "".
using Snapshot = std::map<std::string, Record>;

// Reads the whole tree. An unreadable entry fails the running test.
Snapshot TakeSnapshot(const std::string& root);

// The same without the times of directories: overlayfs shows those of the uppermost part, a tierfs
// mount the newest.
Snapshot WithoutDirectoryTimes(Snapshot snapshot);

// The first differences between two trees, one a line; empty if there are none. Compares paths,
// types, modes, owners, device numbers, targets, sizes, contents, xattrs, link counts of entries
// that are not directories, and which names share an inode. Compares times only if one of the two
// is before 2002, that is, was set by hand.
std::string Differences(const Snapshot& expected, const Snapshot& actual);

// The differences between two records of one path; empty if there are none. Link counts and times
// are treated as above.
std::string Difference(const Record& expected, const Record& actual);

}  // namespace tierfs::test
