// Going into the background so that the command returns when the mount answers.
#pragma once

#include <string>

#include "fs/os/unique_fd.h"

namespace tierfs {

// Forks; the parent waits and exits with what the child reports: 0 after Ready, 1 with its one line
// of error after Failed or death. In the foreground nothing is forked and messages go to stderr.
// Create it before any thread.
class Background {
 public:
  explicit Background(bool foreground);

  void Ready();
  void Failed(const std::string& line);

 private:
  UniqueFd report_;
};

}  // namespace tierfs
