// The directories in which each file of some trees has its names.
#pragma once

#include <cstdint>
#include <ctime>
#include <utility>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

// Immutable after Build. Takes 16 bytes for each name.
class NameIndex {
 public:
  // Reads every directory beneath each of `roots`, which are on one file system. Does not follow
  // symlinks and does not enter other file systems. Keeps one descriptor open for each level.
  [[nodiscard]] static Result<NameIndex> Build(const std::vector<int>& roots);

  // The inode numbers of the directories that have a name of the file `inode`.
  [[nodiscard]] std::vector<std::uint64_t> DirectoriesOf(std::uint64_t inode) const;
  // Whether the index has every name of a file that was last changed at `change_time` (st_ctim). A
  // rename or a link changes that time.
  [[nodiscard]] bool Covers(const timespec& change_time) const;

 private:
  [[nodiscard]] Status Add(int directory, dev_t device);

  timespec begun_{};
  std::vector<std::pair<std::uint64_t, std::uint64_t>> names_;  // file, directory; sorted
};

}  // namespace tierfs
