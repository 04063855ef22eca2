// Running another program and hearing what it says.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

struct Command {
  std::vector<std::string> arguments;  // the program, found by PATH, and what it is told
  std::string directory;               // where it runs; "" is the caller's own
  std::string input;                   // its standard input; "" is an empty one
  // Each is called with a line, without its end; carriage returns end lines too, as progress
  // displays use them. None: the output is dropped.
  std::function<void(const std::string& line)> output;
  std::function<void(const std::string& line)> error;
  std::vector<std::string> environment = {};  // NAME=VALUE, besides the caller's own
};

// Runs the program to its end, whatever it leaves running: its exit code, or 128 + the signal that
// ended it. ENOENT when there is no such program. It is ended by SIGINT when the caller dies.
[[nodiscard]] Result<int> RunProcess(const Command& command);

}  // namespace tierfs
