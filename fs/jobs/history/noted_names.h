// Which note of the actor log says who changed a path.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "fs/jobs/history/actor_log.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {

// Knows the other names of the files that were changed. A change through one name is a change of
// all, but the log notes that one only.
class NotedNames {
 public:
  // `tree` is tier 1, `changed` are the paths in question. `notes` must outlive this.
  NotedNames(const std::string& tree, const std::map<std::string, Noted>& notes, const std::set<std::string>& changed);

  struct Found {
    const Noted* note = nullptr;
    std::string path;  // that the note is of
  };
  // The path's own note, that of another name of the file, or that of a directory above that came
  // or went as a whole.
  [[nodiscard]] Found Of(const std::string& path) const;

 private:
  using File = std::pair<dev_t, ino_t>;
  // The file, if it has several names; else 0.
  [[nodiscard]] File LinkedFile(const std::string& path) const;

  const std::map<std::string, Noted>& notes_;
  const UniqueFd tree_;
  std::map<File, std::string> names_;  // that have a note
};

}  // namespace tierfs::history
