// The messages about the history of tier 1; a part of protocol.h.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tierfs::protocol {

// A path of tier 1 that is not committed.
struct HeldBack {
  std::string path;
  std::string reason;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HeldBack, path, reason)

struct HistoryStatus {
  bool on = false;  // if not, the following keys mean nothing
  std::string repository;
  std::string trouble;           // why changes are not committed; "" when all is well
  std::string head;              // the newest commit
  std::int64_t head_time = 0;    // seconds since the epoch
  std::uint64_t commits = 0;     // made since the mount began
  std::uint64_t waiting = 0;     // changed paths that are not committed yet
  std::vector<HeldBack> held;    // the first kMaxHeld of them
  std::uint64_t held_count = 0;  // paths that are not committed until something is done
  std::string remote;
  bool in_backup = false;
  std::string push_trouble;      // why the last push failed
  std::uint64_t not_pushed = 0;  // commits
  std::int64_t not_pushed_since = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(HistoryStatus, on, repository, trouble, head, head_time, commits, waiting, held, held_count,
                                                remote, in_backup, push_trouble, not_pushed, not_pushed_since)

struct Committed {
  std::vector<std::string> commits;  // object ids, oldest first
  std::string head;                  // the newest commit
  std::uint64_t waiting = 0;         // changed paths that are not committed: open, or changing
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Committed, commits, head, waiting)

struct Pushed {
  std::string remote;
  std::uint64_t commits = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Pushed, remote, commits)

struct GateChanged {
  std::uint64_t settling = 0;  // paths that are settled again
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(GateChanged, settling)

// --- requests

// Commits the changes of tier 1 now, settled or not, but for what is open for writing.
struct Commit {
  static constexpr const char* kVerb = "commit";
  using Reply = Committed;
};

// Pushes the commits now.
struct Push {
  static constexpr const char* kVerb = "push";
  using Reply = Pushed;
};

// The rules of the gate, or what it lets pass, were changed. Loads them, settles the paths, and
// looks at everything that is held back again.
struct ReloadGate {
  static constexpr const char* kVerb = "reload-gate";
  using Reply = GateChanged;
  std::vector<std::string> paths;  // relative to the mount
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ReloadGate, paths)

}  // namespace tierfs::protocol
