// A directory that does not outlive its process: of a clone on a disk, for what its command writes;
// of other work that may not leave anything.
#pragma once

#include <string>

#include "fs/jobs/clone/clone.h"
#include "fs/os/unique_fd.h"

namespace tierfs::clone {

// Refuses a directory in what belongs to the mount at `place`.
[[nodiscard]] Outcome<void> CheckSpace(const Config& config, const std::string& place, const std::string& directory);

// A locked directory, which is removed with this object. Its lock tells those in use from those
// that a killed caller left.
class SpaceDirectory {
 public:
  SpaceDirectory() = default;
  ~SpaceDirectory();
  SpaceDirectory(const SpaceDirectory&) = delete;
  SpaceDirectory& operator=(const SpaceDirectory&) = delete;

  // Removes what killed callers left in `parent`, then makes a directory there.
  [[nodiscard]] Outcome<void> Make(const std::string& parent);
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  UniqueFd lock_;
};

}  // namespace tierfs::clone
