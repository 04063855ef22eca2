#include "fs/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Puts the input into a file, so that neither process waits for the other.
Result<UniqueFd> InputFile(const std::string& input) {
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  if (!file) return FailErrno("memfd_create");
  for (std::size_t at = 0; at < input.size();) {
    const ssize_t wrote = ::write(file.get(), input.data() + at, input.size() - at);
    if (wrote < 0) return FailErrno("write of the input");
    at += static_cast<std::size_t>(wrote);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

[[noreturn]] void Become(const Command& command, int input, int output, int error, int failure) {
  ::prctl(PR_SET_PDEATHSIG, SIGINT);  // the signal after which programs clean up
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(error, STDERR_FILENO);
  for (const std::string& each : command.environment) ::putenv(const_cast<char*>(each.c_str()));
  if (command.directory.empty() || ::chdir(command.directory.c_str()) == 0) {
    std::vector<char*> arguments;
    for (const std::string& each : command.arguments) arguments.push_back(const_cast<char*>(each.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
  }
  const int code = errno;
  (void)!::write(failure, &code, sizeof code);
  ::_exit(127);
}

// Splits the data of a pipe into lines.
class Lines {
 public:
  explicit Lines(const std::function<void(const std::string&)>& tell) : tell_(tell) {}

  // Returns false at the end of the pipe.
  bool ReadFrom(int pipe) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return true;
    for (ssize_t i = 0; i < got; ++i) {
      const char c = buffer[static_cast<std::size_t>(i)];
      if (c == '\n' || c == '\r') {
        End();
      } else {
        line_ += c;
      }
    }
    return got > 0;
  }

  // Text after the last line end is a line too.
  void End() {
    if (!line_.empty() && tell_) tell_(line_);
    line_.clear();
  }

 private:
  const std::function<void(const std::string&)>& tell_;
  std::string line_;
};

}  // namespace

Result<int> RunProcess(const Command& command) {
  TIERFS_ASSIGN(const UniqueFd input, InputFile(command.input));
  TIERFS_ASSIGN(Pipe output, MakePipe());
  TIERFS_ASSIGN(Pipe error, MakePipe());
  TIERFS_ASSIGN(Pipe failure, MakePipe());
  const pid_t child = ::fork();
  if (child < 0) return FailErrno("fork");
  if (child == 0) Become(command, input.get(), output.write.get(), error.write.get(), failure.write.get());
  output.write.Reset();
  error.write.Reset();
  failure.write.Reset();

  Lines output_lines(command.output);
  Lines error_lines(command.error);
  // A process left behind by the program, such as an ssh connection master, may hold the pipes for
  // ever. The end of the program itself therefore ends the wait.
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  std::array<pollfd, 3> ends{{{output.read.get(), POLLIN, 0}, {error.read.get(), POLLIN, 0}, {process.get(), POLLIN, 0}}};
  bool ended = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const int ready = ::poll(ends.data(), ends.size(), ended ? 0 : -1);
    if (ready < 0 && errno != EINTR) break;
    if (ready == 0) break;  // the program has ended and all of its output is read
    if (ready < 0) continue;
    if (ends[0].revents != 0 && !output_lines.ReadFrom(ends[0].fd)) ends[0].fd = -1;
    if (ends[1].revents != 0 && !error_lines.ReadFrom(ends[1].fd)) ends[1].fd = -1;
    if (ends[2].revents != 0) {
      ended = true;
      ends[2].fd = -1;
    }
    for (pollfd& end : ends) end.revents = 0;
  }
  output_lines.End();
  error_lines.End();
  int code = 0;
  const bool started = ::read(failure.read.get(), &code, sizeof code) != sizeof code;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!started) return Fail(code, "start of the program");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace tierfs
