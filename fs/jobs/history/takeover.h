// Takes over the history of another git repository.
#pragma once

#include <string>
#include <vector>

#include "fs/jobs/gate/judge.h"
#include "fs/jobs/history/repository.h"

namespace tierfs::history {

// A file of the history that the gate would have stopped.
struct ImportFinding {
  std::string path;
  std::string reason;
  std::string commit;  // short id of one that holds it
};

// Looks at every file of every commit of the branch. Memory: one file, and the ids of all.
[[nodiscard]] Outcome<std::vector<ImportFinding>> ScanHistory(const Repository& repository, const gate::Judge& judge,
                                                              std::uint64_t max_file);

}  // namespace tierfs::history
