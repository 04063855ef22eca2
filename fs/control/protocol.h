// The messages between a client and the daemon of a mount: every message and key, defined once for
// both sides. A request type names its verb and the type of its reply. An absent key has the
// default value given here.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "fs/control/history_protocol.h"
#include "fs/control/snapshot_protocol.h"

namespace tierfs::protocol {

struct CatalogueStatus {
  std::string trouble;                    // "" when all is well
  std::vector<std::string> notes;         // valid for the life of the mount
  std::vector<std::string> open_intents;  // operations under way, as text for the user
  // Whether changes are recorded. If not, the following keys mean nothing.
  bool feed = false;
  bool comparing = false;       // the trees are being compared with the catalogue
  std::uint64_t compared = 0;   // entries compared so far
  std::uint64_t waiting = 0;    // waiting hints
  std::uint64_t overflows = 0;  // how often there were too many hints
  std::uint64_t checksums = 0;  // files summed since the mount began
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(CatalogueStatus, trouble, notes, open_intents, feed, comparing, compared, waiting,
                                                overflows, checksums)

// A directory that the daemon has open, and what it is now. All of it is as the daemon sees it.
struct ServedLayer {
  std::string what;  // "tier 2"; "lower layer"
  std::string path;  // by which it was opened
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool deleted = false;
  std::string place;  // its path now, if it has one
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ServedLayer, what, path, device, inode, deleted, place)

struct DaemonStatus {
  std::string name;
  std::string config;  // path of the config file
  std::string mountpoint;
  std::int64_t pid = 0;
  std::string version;
  std::string libfuse;           // its version
  std::string transport;         // "io_uring" or "/dev/fuse"
  std::string transport_reason;  // why io_uring is not used
  bool passthrough = false;
  std::string passthrough_reason;  // why passthrough is not used
  std::uint64_t nodes = 0;
  std::uint64_t open_handles = 0;
  std::uint64_t passthrough_handles = 0;
  std::uint64_t settling = 0;  // places that wait to be settled
  std::map<std::string, std::uint64_t> requests;
  std::vector<std::string> waiting_for_close;  // open files that are misplaced
  std::uint64_t rules = 0;                     // number of rules in the policy
  std::vector<ServedLayer> layers;             // without the directory that is mounted over
  CatalogueStatus catalogue;
  HistoryStatus history;
  SnapshotState snapshot;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(DaemonStatus, name, config, mountpoint, pid, version, libfuse, transport, transport_reason,
                                                passthrough, passthrough_reason, nodes, open_handles, passthrough_handles, settling,
                                                requests, waiting_for_close, rules, layers, catalogue, history, snapshot)

// A number of files and the sum of their sizes.
struct Tally {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Tally, files, bytes)

// Files moved, or to be moved, from one tier to another.
struct Moves {
  int from = 0;
  int to = 0;
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Moves, from, to, files, bytes)

struct SettleReport {
  bool running = false;
  std::vector<Moves> moves;
  std::uint64_t moved = 0;  // the sums over all moves
  std::uint64_t bytes = 0;
  std::uint64_t seen = 0;  // entries looked at
  Tally waiting;           // open: they move once they are closed
  Tally linked;            // files with several names on another file system: they stay
  std::uint64_t failed = 0;
  bool cancelled = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(SettleReport, running, moves, moved, bytes, seen, waiting, linked, failed, cancelled)

struct Reloaded {
  std::uint64_t rules = 0;
  bool applied = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Reloaded, rules, applied)

struct Sealed {
  std::string token;
  std::string database;  // path of the database file
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Sealed, token, database)

struct Rescanned {
  std::uint64_t nodes = 0;     // nodes whose caches were dropped
  std::uint64_t differed = 0;  // changes made outside the mount
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Rescanned, nodes, differed)

struct WrittenBack {
  std::uint64_t files = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(WrittenBack, files)

// --- requests

// Requests marked kQuestion are answered at once. The others are jobs and may take long.
struct Status {
  static constexpr bool kQuestion = true;
  static constexpr const char* kVerb = "status";
  using Reply = DaemonStatus;
};

// Settles misplaced files. Replies with the final report when it is done or cancelled. Refused
// while another settling runs.
struct Settle {
  static constexpr const char* kVerb = "settle";
  using Reply = SettleReport;
  std::string path;  // relative to the mount; "" for everything
  bool dry_run = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Settle, path, dry_run)

// Returns the progress of the settling under way.
struct ReportSettling {
  static constexpr bool kQuestion = true;
  static constexpr const char* kVerb = "settle-report";
  using Reply = SettleReport;
};

// Cancels the settling under way. It stops after the current entry; files already moved stay moved.
// The reply says whether a settling was running.
struct CancelSettling {
  static constexpr bool kQuestion = true;
  static constexpr const char* kVerb = "settle-cancel";
  using Reply = SettleReport;
};

struct Reload {
  static constexpr const char* kVerb = "reload";
  using Reply = Reloaded;
  std::string policy;  // a file to use instead of the config's policy
  bool dry_run = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Reload, policy, dry_run)

// Makes everything that has changed until now recorded and durable.
struct Seal {
  static constexpr const char* kVerb = "seal";
  using Reply = Sealed;
};

// Has the kernel write the dirty pages of mapped files to the tiers. They are not durable yet.
struct WriteBack {
  static constexpr const char* kVerb = "write-back";
  using Reply = WrittenBack;
};

// Takes in changes made directly in the trees.
struct Rescan {
  static constexpr const char* kVerb = "rescan";
  using Reply = Rescanned;
};

template <typename Request>
[[nodiscard]] constexpr bool IsJob() {
  return !requires { Request::kQuestion; };
}

// The JSON form of a request. A request without keys consists of its verb alone.
template <typename Request>
[[nodiscard]] nlohmann::json ToJson(const Request& request) {
  nlohmann::json message = nlohmann::json::object();
  if constexpr (!std::is_empty_v<Request>) message = request;
  message["verb"] = Request::kVerb;
  return message;
}
// Parses a message into a request. Throws nlohmann's exception if a key has the wrong type.
template <typename Request>
[[nodiscard]] Request FromJson(const nlohmann::json& message) {
  if constexpr (std::is_empty_v<Request>) {
    return {};
  } else {
    return message.get<Request>();
  }
}

}  // namespace tierfs::protocol
