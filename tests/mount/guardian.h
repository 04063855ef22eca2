// Cleans up after a test process that did not come to its end.
#pragma once

#include <sys/types.h>

#include <string>

#include "fs/os/unique_fd.h"

namespace tierfs::test {

// Unmounts everything beneath `directory`, the innermost first.
void UnmountBeneath(const std::string& directory);

// While it lives, a child process watches this one: should it die (a crash, a time limit), the
// child unmounts all that is mounted beneath `directory` and removes it. An ordered end sends the
// child away.
class Guardian {
 public:
  explicit Guardian(const std::string& directory);
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

 private:
  UniqueFd alive_;  // the write end of a pipe: its end of file tells the child
  pid_t child_ = -1;
};

}  // namespace tierfs::test
