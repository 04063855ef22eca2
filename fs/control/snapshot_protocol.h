// The messages about the snapshot of a mount; a part of protocol.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tierfs::protocol {

// A file that a process has mapped for writing.
struct MappedFile {
  std::string path;
  std::int64_t pid = 0;
  std::string program;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(MappedFile, path, pid, program)

// The snapshot of a mount. Without one (`standing` is false) `level` is what one would have.
struct SnapshotState {
  bool configured = false;  // the config has [snapshot]; if not, the following keys mean nothing
  bool standing = false;
  std::string path;                   // its trees are beneath, tier1 and tier2
  std::string level;                  // "barrier" or "per-file"
  std::string reason;                 // why the level is not a better one; "" if it is the best
  std::string at_least;               // the level that the config asks for
  std::int64_t created = 0;           // the instant: nanoseconds since the epoch
  std::int64_t pause = 0;             // how long changes were held for it: nanoseconds
  std::int64_t owner = 0;             // the process with which it ends; 0: none
  std::string token;                  // of the change feed, just before the instant
  std::string lost;                   // why it shows nothing any more; "" if it does
  std::uint64_t kept_bytes = 0;       // copied because they changed since
  std::uint64_t changed_files = 0;    // of which something is kept
  std::vector<MappedFile> mapped;     // may be torn: stores through a mapping cannot be held
  std::vector<std::string> torn;      // changed since in a way that nothing announced
  std::vector<std::string> warnings;  // of hooks
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SnapshotState, configured, standing, path, level, reason, at_least, created, pause, owner,
                                                token, lost, kept_bytes, changed_files, mapped, torn, warnings)

// --- requests

// Makes the snapshot. Refused while there is one, unless its owner has ended.
struct CreateSnapshot {
  static constexpr const char* kVerb = "snapshot-create";
  using Reply = SnapshotState;
  bool dry_run = false;    // only tell what it would be
  std::int64_t owner = 0;  // the snapshot is deleted when this process ends; 0: it stays
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(CreateSnapshot, dry_run, owner)

// Deletes the snapshot. The reply is its last state.
struct DeleteSnapshot {
  static constexpr const char* kVerb = "snapshot-delete";
  using Reply = SnapshotState;
};

struct ShowSnapshot {
  static constexpr bool kQuestion = true;
  static constexpr const char* kVerb = "snapshot-show";
  using Reply = SnapshotState;
};

}  // namespace tierfs::protocol
