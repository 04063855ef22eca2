// Moves the daemon into the background. The command returns once the mount answers.
#pragma once

#include <string>

#include "fs/os/unique_fd.h"

namespace tierfs {

// Forks on construction. The parent waits and exits with the child's result: 0 after Ready; 1, with
// the child's one line of error, after Failed or death. In the foreground it does not fork, and
// messages go to stderr. Create it before any thread.
class Background {
 public:
  explicit Background(bool foreground);

  void Ready();
  void Failed(const std::string& line);

 private:
  UniqueFd report_;
};

}  // namespace tierfs
