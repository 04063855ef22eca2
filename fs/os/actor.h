// Which program changes a file, and on whose behalf.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "fs/os/caller.h"

namespace tierfs {

struct Actor {
  uid_t uid = 0;
  std::optional<uid_t> login;  // the user who logged in (audit's loginuid), if there was a login
  pid_t pid = 0;
  std::string program;  // its name, /proc/PID/comm; printable
  std::string unit;     // the systemd unit or scope of its cgroup; ""

  // A package manager or a configuration tool, whose work ends with its process.
  bool works_as_a_whole = false;
  std::uint64_t started = 0;  // of the process, in clock ticks since the boot

  [[nodiscard]] auto Key() const { return std::tie(uid, login, pid, program, unit, started); }
  bool operator==(const Actor& other) const { return Key() == other.Key(); }
  bool operator<(const Actor& other) const { return Key() < other.Key(); }
};

// Reads /proc, so call it while the caller waits. A package manager or a configuration tool above
// the process counts as the actor: its helpers and scripts do its work. The command line is never
// read, because it may hold passwords. Null if the process is gone or out of sight.
[[nodiscard]] std::shared_ptr<const Actor> ActorOf(const Caller& caller);

// Whether the process of the actor still runs.
[[nodiscard]] bool IsRunning(const Actor& actor);

}  // namespace tierfs
