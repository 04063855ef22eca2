// Starts another program. RunProcess (process.h) waits for its end, a Child (child.h) lives beside
// the caller.
#pragma once

#include <sys/types.h>

#include "fs/os/process.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Both ends are closed in other programs.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
[[nodiscard]] Result<Pipe> MakePipe();

struct Streams {
  int input;
  int output;
  int error;
};

// Of `command`, takes the arguments, the environment, the directory, the umask and own_session.
// Returns once the program runs; the errno if it could not be started. The caller has to wait for
// its end. When the calling thread ends, the program gets `death_signal`; 0 is none. The program
// starts with no signal blocked, and with those that the daemon ignores at their default.
[[nodiscard]] Result<pid_t> StartProgram(const Command& command, const Streams& streams, int death_signal);

}  // namespace tierfs
