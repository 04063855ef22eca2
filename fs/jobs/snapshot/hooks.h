// The programs that prepare applications for a snapshot: [[snapshot.hook]] in the config.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/os/child.h"

namespace tierfs::snapshot {

// Runs the hooks of one snapshot, in the order of the config: Prepare, the instant, StillHolding,
// EndHolds, Finish.
//
// Each hook leads a session of its own. What a hook has started and what has not made a session for
// itself ends with it if its time is up. The standard input is empty; that of a hold hook ends when
// EndHolds closes it, or when the daemon dies. Files that a hook makes are for its user only (umask
// 077), since the daemon has no umask.
//
// A hook with a container runs by `docker exec`. Its time limit ends `docker exec` alone: the
// program in the container goes on. A hold program therefore has to end by itself when its standard
// input ends, and a pre or post program that may hang needs a time limit of its own, such as
// timeout(1).
//
// One thread uses it.
class Hooks {
 public:
  // `environment`: NAME=VALUE words that each hook gets besides the daemon's (TIERFS_SNAPSHOT,
  // TIERFS_NAME). TIERFS_HOOK, which is pre, hold or post, is added to them.
  Hooks(const std::vector<SnapshotHook>& hooks, std::vector<std::string> environment);
  // Ends a hold hook that is still there, as EndHolds does.
  ~Hooks();
  Hooks(const Hooks&) = delete;
  Hooks& operator=(const Hooks&) = delete;

  // Runs the pre hooks, then starts each hold hook and waits until it has printed a line READY. If
  // one fails that must succeed, no other is run, and the hold hooks are ended. The error is one
  // line for the user. It names the hook, its exit code or "timed out after 30 s" or "printed
  // nothing", and the last line that the hook wrote on its standard error.
  [[nodiscard]] tl::expected<void, std::string> Prepare();
  // Whether every hold hook that must succeed is still alive. Call it right after the instant: only
  // then did they hold through it. The error is as above.
  [[nodiscard]] tl::expected<void, std::string> StillHolding();
  // Closes the standard input of all hold hooks and waits for their end, each within its timeout;
  // then SIGTERM, then SIGKILL to the hook's process group.
  void EndHolds();
  // Ends the hold hooks, then runs the post hooks, all of them, whatever happened before, each with
  // its own timeout.
  void Finish();
  // What went wrong with hooks that need not succeed, with the end of hold hooks, and with post
  // hooks: one line each.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  struct Hold {
    std::size_t at;  // in hooks_
    std::unique_ptr<Child> child;
  };

  // Each returns what went wrong, without the hook's name; "" is success.
  [[nodiscard]] std::string Run(const SnapshotHook& hook) const;
  [[nodiscard]] std::string Start(std::size_t at);

  [[nodiscard]] tl::expected<void, std::string> PrepareAll(SnapshotHook::When when);
  [[nodiscard]] Command CommandOf(const SnapshotHook& hook) const;
  // "pre hook 2 (pg_dump in db) " and what went wrong.
  [[nodiscard]] std::string Named(std::size_t at, const std::string& problem) const;

  const std::vector<SnapshotHook> hooks_;
  const std::vector<std::string> environment_;
  std::vector<Hold> holds_;
  std::vector<std::string> warnings_;
};

}  // namespace tierfs::snapshot
