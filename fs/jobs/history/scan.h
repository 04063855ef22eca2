// Looks for credentials in everything that a repository holds.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/gate/judge.h"
#include "fs/jobs/history/repository.h"

namespace tierfs::history {

// The path under which a commit itself is looked at: its message and the names of its author and
// committer. A tag too. It is git's own name for a file with a message.
inline constexpr const char* kMessagePath = "COMMIT_EDITMSG";

// What the gate would have stopped.
struct HistoryFinding {
  std::string path;
  gate::Verdict verdict;
  std::string commit;  // short id of the oldest that holds it; "" if only a tag does
};

// Looks at each file of each commit under each path that it ever had. `revisions` is a branch, or
// "--all". `progress` is called often. Memory: one file, and the ids and paths of all.
using ScanProgress = std::function<void(std::uint64_t seen, std::uint64_t of)>;
[[nodiscard]] Outcome<std::vector<HistoryFinding>> ScanHistory(const Repository& repository, const std::string& revisions,
                                                               const gate::Judge& judge, std::uint64_t max_file,
                                                               const ScanProgress& progress);

}  // namespace tierfs::history
