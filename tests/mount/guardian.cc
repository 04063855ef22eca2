#include "tests/mount/guardian.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace tierfs::test {

void UnmountBeneath(const std::string& directory) {
  std::vector<std::string> mountpoints;
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;
    if (word.rfind(directory + "/", 0) == 0) mountpoints.push_back(word);
  }
  // /proc/mounts is in mount order: unmounting in reverse takes inner mounts first.
  for (auto each = mountpoints.rbegin(); each != mountpoints.rend(); ++each) ::umount2(each->c_str(), MNT_DETACH);
}

Guardian::Guardian(const std::string& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe for the guardian");
  child_ = ::fork();
  if (child_ == 0) {
    // Leaves the session and process group of the test, so that a signal to the test spares the
    // guardian.
    ::setsid();
    ::dup2(ends[0], STDIN_FILENO);
    ::dup2(::open("/dev/null", O_WRONLY), STDOUT_FILENO);
    ::dup2(STDOUT_FILENO, STDERR_FILENO);
    ::close_range(3, ~0U, 0);
    char order = 0;
    if (::read(STDIN_FILENO, &order, 1) == 1) ::_exit(0);
    UnmountBeneath(directory);
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    ::_exit(0);
  }
  ::close(ends[0]);
  alive_ = UniqueFd(ends[1]);
}

Guardian::~Guardian() {
  if (::write(alive_.get(), "x", 1) != 1) ::kill(child_, SIGKILL);
  ::waitpid(child_, nullptr, 0);
}

}  // namespace tierfs::test
