// Runs another program and reads its output.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

struct Command {
  // The program, found through PATH, and its arguments.
  std::vector<std::string> arguments;
  std::string directory;  // working directory; "" is the caller's own
  std::string input;      // standard input; "" is an empty one
  // Each function is called with one line, without its line end. A carriage return ends a line too,
  // since progress displays use it. Without a function the output is dropped.
  std::function<void(const std::string& line)> output;
  std::function<void(const std::string& line)> error;
  std::vector<std::string> environment = {};  // NAME=VALUE, in addition to the caller's own
};

// Runs the program to its end, even if it leaves processes behind. Returns its exit code, or 128 +
// the signal that ended it; ENOENT if there is no such program. If the caller dies, the program
// gets SIGINT.
[[nodiscard]] Result<int> RunProcess(const Command& command);

}  // namespace tierfs
