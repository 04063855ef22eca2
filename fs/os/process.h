// Runs another program and reads its output.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

struct Command {
  // The program, found through PATH, and its arguments.
  std::vector<std::string> arguments;
  std::string directory;  // working directory; "" is the caller's own
  std::string input;      // standard input; "" is an empty one
  int input_file = -1;    // standard input instead of `input`, read from the file's offset
  // Each function is called with one line, without its line end. A carriage return ends a line too,
  // since progress displays use it. Without a function the output is dropped.
  std::function<void(const std::string& line)> output;
  std::function<void(const std::string& line)> error;
  // If set, called with the bytes of the output as they come, instead of `output`.
  std::function<void(std::string_view bytes)> raw_output = {};
  // The same for the standard error, instead of `error`.
  std::function<void(std::string_view bytes)> raw_error = {};
  std::vector<std::string> environment = {};  // NAME=VALUE, added to the caller's; NAME removes
  std::optional<mode_t> umask = {};           // the caller's own if not set
  // The program is ended (SIGTERM, then SIGKILL) when this is set or this much time has passed.
  const std::atomic<bool>* cancelled = nullptr;
  const std::atomic<bool>* enough = nullptr;  // the same, for one who reads the output
  std::chrono::milliseconds patience = {};    // 0: without end
  // The program leads a session of its own. If it has to be ended, so is everything that it started
  // and that has not made a session for itself.
  bool own_session = false;
};

// Runs the program to its end, even if it leaves processes behind. Returns its exit code, or 128 +
// the signal that ended it; ENOENT if there is no such program, ETIME if its
// patience ran out. If the caller dies, the program gets SIGINT. The caller's memory is not copied
// (vfork), however large it is.
[[nodiscard]] Result<int> RunProcess(const Command& command);

}  // namespace tierfs
