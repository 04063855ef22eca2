// Files that have names in trees which the change feed does not track.
#include "fs/tree/linked_files.h"

#include <gtest/gtest.h>

namespace tierfs {
namespace {

TEST(LinkedFiles, AreKnownOnceAdded) {
  LinkedFiles files;
  EXPECT_FALSE(files.Has(BackingKey{0, 1}));
  files.Add(BackingKey{0, 1});
  EXPECT_TRUE(files.Has(BackingKey{0, 1}));
  EXPECT_FALSE(files.Has(BackingKey{1, 1})) << "the same number on another file system";
}

TEST(LinkedFiles, AboveTheLimitEveryFileCountsAsKnown) {
  LinkedFiles files;
  for (std::uint64_t inode = 1; inode <= LinkedFiles::kLimit + 5; ++inode) files.Add(BackingKey{0, inode});
  for (const std::uint64_t inode : {std::uint64_t{1}, LinkedFiles::kLimit + 5, LinkedFiles::kLimit + 500}) {
    EXPECT_TRUE(files.Has(BackingKey{0, inode})) << inode;
  }
}

}  // namespace
}  // namespace tierfs
