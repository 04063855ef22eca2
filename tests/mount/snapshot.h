// Everything that a directory tree says about itself, for comparing two trees.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>

namespace tierfs::test {

struct Record {
  struct stat st {};
  std::size_t content_hash = 0;               // of a regular file
  std::string target;                         // of a symlink
  std::map<std::string, std::string> xattrs;  // without those that belong to overlayfs or to a tier's root
  ino_t listed_ino = 0;                       // as the directory that it is in lists it
  unsigned char listed_type = 0;
};

// By path relative to the root, "" for the root itself.
using Snapshot = std::map<std::string, Record>;

// Reads the whole tree; what cannot be read fails the running test.
Snapshot TakeSnapshot(const std::string& root);

// The same with no times of directories: overlayfs shows those of the uppermost part, a tierfs
// mount the newest.
Snapshot WithoutDirectoryTimes(Snapshot snapshot);

// The first differences between two trees, a line each; empty when there are none. Compared: paths,
// types, modes, owners, device numbers, targets, sizes, contents, xattrs, link counts of what is
// not a directory, and which names are one inode. Times where either side was given a date before
// 2002 (by hand, that is).
std::string Differences(const Snapshot& expected, const Snapshot& actual);

// What differs between two records of one path; empty when nothing does. Link counts and times as
// above.
std::string Difference(const Record& expected, const Record& actual);

}  // namespace tierfs::test
