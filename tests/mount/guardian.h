// Cleans up after a test process that crashed or was killed.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/os/unique_fd.h"

namespace tierfs::test {

// Unmounts everything beneath `directory`, innermost first.
void UnmountBeneath(const std::string& directory);

// Starts a child process that watches this one. If this process dies (a crash, a time limit), the
// child unmounts everything beneath `directory` and removes it. The destructor ends the child.
class Guardian {
 public:
  explicit Guardian(const std::string& directory);
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

 private:
  // The write end of a pipe. Its end of file tells the child that this process is gone.
  UniqueFd alive_;
  pid_t child_ = -1;
};

}  // namespace tierfs::test
