// Backup jobs. rsync, borg or restic copies one tier's tree to a destination; the change feed tells
// the job which paths to copy.
//
// The token up to which a copy is complete is kept at the destination, so that copy and token
// cannot drift apart. It is written there once the copy is complete, never before. Changes made
// while a tool reads are listed in the next pass.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/jobs/backup/change_list.h"

namespace tierfs {

enum class BackupTool : std::uint8_t { kRsync, kBorg, kRestic };

struct BackupRequest {
  BackupTool tool = BackupTool::kRsync;
  std::string destination;  // a directory or HOST:PATH for rsync, else a repository
  TierId tier = TierId::kData;
  bool full = false;            // compare or read everything, whatever the feed reports
  int full_every = 7;           // days after which a pass is full; 0: every pass
  bool skip_unchanged = false;  // borg, restic: no archive when nothing has changed
  bool verify = false;          // compare the copy with the tree afterwards
  bool dry_run = false;
  std::vector<std::string> tool_options;  // passed to each call of the tool that copies
};

struct BackupReport {
  enum class Pass : std::uint8_t { kIncremental, kFull, kSkipped };
  Pass pass = Pass::kIncremental;
  std::string why_full;
  // Paths that the feed named. Unset if it could not tell.
  std::optional<std::uint64_t> changed;
  std::string archive;  // its name or id; "" for rsync
  std::string token;
  // borg: files that changed while they were read. The next archive has them right.
  std::uint64_t changed_while_read = 0;
  std::uint64_t sockets = 0;  // borg: left out, as borg cannot keep them
  // restic before 0.16: symlinks whose target it cannot keep, because the target is not UTF-8.
  std::vector<std::string> damaged;
  // Full pass: paths that earlier passes should have copied and did not.
  std::optional<std::vector<std::string>> missed;
  // Verify: paths in which the copy differs from the tree.
  std::optional<std::vector<std::string>> differs;
  double seconds = 0;
  std::string log;  // the file with the tool's output
};

struct BackupError {
  // The request is wrong. Otherwise the backup is incomplete and the token has not moved.
  bool usage = false;
  std::string text;  // one line, without the program's name
};

template <typename T>
using BackupResult = tl::expected<T, BackupError>;

// Runs one job. A local destination is durable on return. `progress` is called with text about the
// work under way, for a terminal; it may be empty. Two jobs for one tier and destination never run
// at once.
[[nodiscard]] BackupResult<BackupReport> RunBackup(const Config& config, const BackupRequest& request,
                                                   const std::function<void(const std::string&)>& progress);

}  // namespace tierfs
