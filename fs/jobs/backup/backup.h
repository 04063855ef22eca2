// Backup jobs: one tier's tree goes to a destination by rsync, borg or restic, and the change feed
// says what there is to do.
//
// The token of the feed up to which a copy is complete is kept at the destination, so that the two
// cannot drift apart: it is written there when the copy is whole, never before. What changes while
// a tool reads is listed the next time.
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
  bool full = false;            // compare or read everything, whatever the feed says
  int full_every = 7;           // days after which a pass is full; 0: always
  bool skip_unchanged = false;  // borg, restic: no archive when nothing has changed
  bool verify = false;          // compare the copy with the tree afterwards
  bool dry_run = false;
  std::vector<std::string> tool_options;  // for each call of the tool that copies
};

struct BackupReport {
  enum class Pass : std::uint8_t { kIncremental, kFull, kSkipped };
  Pass pass = Pass::kIncremental;
  std::string why_full;
  std::optional<std::uint64_t> changed;  // paths that the feed named; none: it could not tell
  std::string archive;                   // its name or id; "" for rsync
  std::string token;
  std::uint64_t changed_while_read = 0;             // borg: files that the next archive has right
  std::uint64_t sockets = 0;                        // borg: left out, as it cannot keep them
  std::vector<std::string> damaged;                 // restic before 0.16: symlinks whose target it cannot keep, as it is not UTF-8
  std::optional<std::vector<std::string>> missed;   // full pass: what earlier passes should have copied and did not
  std::optional<std::vector<std::string>> differs;  // verify: what the copy does not have as the tree has it
  double seconds = 0;
  std::string log;  // what the tool printed
};

struct BackupError {
  bool usage = false;  // the request is wrong; otherwise the backup is not complete and the token has not moved
  std::string text;    // one line, without the program's name
};

template <typename T>
using BackupResult = tl::expected<T, BackupError>;

// Runs one job; durable at a local destination on return. `progress` hears of the work under way,
// for a terminal; empty: nobody looks. Two jobs for one tier and destination never run at once.
[[nodiscard]] BackupResult<BackupReport> RunBackup(const Config& config, const BackupRequest& request,
                                                   const std::function<void(const std::string&)>& progress);

}  // namespace tierfs
