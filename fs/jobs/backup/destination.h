// The interface of a backup job to its tool. One implementation a tool.
#pragma once

#include <memory>

#include "fs/jobs/backup/backup.h"
#include "fs/jobs/backup/tool_log.h"

namespace tierfs {

// The last complete copy, as the destination remembers it.
struct Remembered {
  std::optional<Token> token;
  std::int64_t last_full = 0;  // seconds since the epoch
  bool cut_short = false;      // a later pass began to change the copy and did not end
};

struct BackupPass {
  bool full = false;
  const ChangeList* list = nullptr;
  std::int64_t last_full = 0;  // to be remembered with the list's token
};

// The result of a pass. Paths are relative to the tree, as Lossy gives them.
struct PassResult {
  std::string partial;                               // why not all was copied; it may have changed meanwhile. "": all was
  std::optional<std::vector<std::string>> differed;  // full pass: what the copy did not have as the tree, though it should have
  std::optional<Token> differed_since;               // what changed since then may differ
  std::vector<std::string> not_copied;               // named by the tool as not copied
  std::uint64_t changed_while_read = 0;
};

// Shared by every implementation.
struct BackupContext {
  const Config& config;
  const BackupRequest& request;
  std::string tree;  // the tier's directory, symlinks resolved
  std::string file;  // where the job keeps what is its own; a suffix is to be added
  ToolLog& log;
  std::function<void(const std::string&)> progress;  // never empty
  bool on_terminal = false;                          // progress is shown
};

class BackupDestination {
 public:
  virtual ~BackupDestination() = default;
  [[nodiscard]] virtual BackupResult<Remembered> Remember() = 0;
  // Copies, or makes an archive that does not count yet.
  [[nodiscard]] virtual BackupResult<PassResult> Copy(const BackupPass& pass) = 0;
  // From now on the copy counts, with the pass's token.
  [[nodiscard]] virtual BackupResult<void> Commit(const BackupPass& pass) = 0;
  // The paths in which the committed copy differs from the tree; found without the feed.
  [[nodiscard]] virtual BackupResult<std::vector<std::string>> Compare() = 0;
  // Adds what only this tool can say.
  virtual void Describe(BackupReport& /*report*/) const {}
};

[[nodiscard]] std::unique_ptr<BackupDestination> MakeRsyncDestination(const BackupContext& context);
[[nodiscard]] std::unique_ptr<BackupDestination> MakeBorgDestination(const BackupContext& context);
[[nodiscard]] std::unique_ptr<BackupDestination> MakeResticDestination(const BackupContext& context);

// "HOST-MOUNT-tierN": what an archive or a copy is of, in letters, digits and "._-=" alone; "=XX"
// stands for another byte.
[[nodiscard]] std::string SubjectOf(const BackupContext& context);
[[nodiscard]] std::string HostName();

}  // namespace tierfs
