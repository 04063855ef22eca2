// The process inside a clone: makes the namespace's mounts, runs the command, reaps what it leaves.
#pragma once

#include <string>
#include <vector>

#include "fs/jobs/clone/clone.h"
#include "fs/os/unique_fd.h"

namespace tierfs::clone {

// Messages of that process to the caller: one of these letters, then the rest of the packet.
inline constexpr char kFailed = 'F';   // a line of text; nothing was run
inline constexpr char kStarted = 'S';  // the command runs
inline constexpr char kFull = 'U';     // the space was used up when kTerminate came
inline constexpr char kEnded = 'E';    // EndMessage
struct EndMessage {
  char kind = kEnded;
  bool full = false;
  int status = 0;  // as waitpid gives it
};
// The one message to it: end everything with SIGTERM.
inline constexpr char kTerminate = 'T';

struct Places {
  std::string mountpoint;
  std::string space;  // a directory for what is written; "" memory
};

// Runs as process 1 of the clone's pid namespace, and ends it. `caller` is a socket to the caller,
// whose end of file ends the process too; `output` is where the command writes, or -1.
[[noreturn]] void RunInside(const Config& config, const Request& request, const Places& places, UniqueFd caller, UniqueFd output);

}  // namespace tierfs::clone
