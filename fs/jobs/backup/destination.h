// The interface between a backup job and its tool. Each tool has one implementation.
#pragma once

#include <memory>

#include "fs/jobs/backup/backup.h"
#include "fs/jobs/backup/tool_log.h"

namespace tierfs {

// The last complete copy, as recorded at the destination.
struct Remembered {
  std::optional<Token> token;
  std::int64_t last_full = 0;  // seconds since the epoch
  // A later pass began to change the copy and did not finish.
  bool cut_short = false;
};

struct BackupPass {
  bool full = false;
  const ChangeList* list = nullptr;
  std::int64_t last_full = 0;  // to be recorded with the list's token
};

// The result of a pass. Paths are relative to the tree, as Lossy gives them.
struct PassResult {
  // Why not everything was copied; the tree may have changed meanwhile. "": everything was copied.
  std::string partial;
  // Full pass: paths that the copy should have had as in the tree, and did not.
  std::optional<std::vector<std::string>> differed;
  // Paths that changed since this token may differ.
  std::optional<Token> differed_since;
  // Paths that the tool reported as not copied.
  std::vector<std::string> not_copied;
  std::uint64_t changed_while_read = 0;
};

// The context shared by every implementation.
struct BackupContext {
  const Config& config;
  const BackupRequest& request;
  std::string tree;  // the tier's directory, symlinks resolved
  std::string file;  // path prefix of the job's own files; add a suffix
  ToolLog& log;
  std::function<void(const std::string&)> progress;  // never empty
  bool on_terminal = false;                          // progress is shown on a terminal
};

// One tool and one destination of a job. The job calls Remember, then Copy and Commit, then Compare
// if the request asks for it.
class BackupDestination {
 public:
  virtual ~BackupDestination() = default;
  // Reads the record of the last complete copy.
  [[nodiscard]] virtual BackupResult<Remembered> Remember() = 0;
  // Copies the tree, or makes an archive that does not count yet.
  [[nodiscard]] virtual BackupResult<PassResult> Copy(const BackupPass& pass) = 0;
  // Makes the copy count from now on, with the pass's token.
  [[nodiscard]] virtual BackupResult<void> Commit(const BackupPass& pass) = 0;
  // Returns the paths in which the committed copy differs from the tree, found without the feed.
  [[nodiscard]] virtual BackupResult<std::vector<std::string>> Compare() = 0;
  // Adds the facts that only this tool can report.
  virtual void Describe(BackupReport& /*report*/) const {}
};

[[nodiscard]] std::unique_ptr<BackupDestination> MakeRsyncDestination(const BackupContext& context);
[[nodiscard]] std::unique_ptr<BackupDestination> MakeBorgDestination(const BackupContext& context);
[[nodiscard]] std::unique_ptr<BackupDestination> MakeResticDestination(const BackupContext& context);

// Returns "HOST-MOUNT-tierN", the subject of an archive or a copy. It contains only letters, digits
// and "._-="; "=XX" stands for another byte.
[[nodiscard]] std::string SubjectOf(const BackupContext& context);
[[nodiscard]] std::string HostName();

}  // namespace tierfs
