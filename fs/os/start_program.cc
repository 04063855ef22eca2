#include "fs/os/start_program.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace tierfs {
namespace {

// The arguments and the environment of a program, in the form that execvpe takes.
class Vectors {
 public:
  explicit Vectors(const Command& command) {
    for (const std::string& each : command.arguments) arguments_.push_back(const_cast<char*>(each.c_str()));
    arguments_.push_back(nullptr);
    const auto replaced = [&](std::string_view old) {
      const std::string_view name = old.substr(0, old.find('='));
      return std::any_of(command.environment.begin(), command.environment.end(),
                         [&](const std::string& each) { return std::string_view(each).substr(0, each.find('=')) == name; });
    };
    for (char** each = environ; *each != nullptr; ++each) {
      if (!replaced(*each)) environment_.push_back(*each);
    }
    for (const std::string& each : command.environment) {
      if (each.find('=') != std::string::npos) environment_.push_back(const_cast<char*>(each.c_str()));
    }
    environment_.push_back(nullptr);
  }
  [[nodiscard]] char* const* arguments() const { return arguments_.data(); }
  [[nodiscard]] char* const* environment() const { return environment_.data(); }

 private:
  std::vector<char*> arguments_;
  std::vector<char*> environment_;
};

// Runs in the child of a vfork: it may share the memory of the caller, so it only makes system
// calls. Returns the errno of the failed call.
int Become(const Command& command, const Vectors& vectors, const Streams& streams, int death_signal) {
  if (death_signal != 0) ::prctl(PR_SET_PDEATHSIG, death_signal);
  if (command.own_session) ::setsid();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int signal : {SIGPIPE, SIGXFSZ, SIGIO}) ::signal(signal, SIG_DFL);
  ::dup2(streams.input, STDIN_FILENO);
  ::dup2(streams.output, STDOUT_FILENO);
  ::dup2(streams.error, STDERR_FILENO);
  if (command.umask) ::umask(*command.umask);
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) return errno;
  ::execvpe(vectors.arguments()[0], vectors.arguments(), vectors.environment());
  return errno;
}

}  // namespace

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return FailErrno("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<pid_t> StartProgram(const Command& command, const Streams& streams, int death_signal) {
  const Vectors vectors(command);
  TIERFS_ASSIGN(Pipe refusal, MakePipe());  // carries the errno of a failed start
  const pid_t child = ::vfork();
  if (child < 0) return FailErrno("vfork");
  if (child == 0) {
    const int failure = Become(command, vectors, streams, death_signal);
    ::_exit(::write(refusal.write.get(), &failure, sizeof failure) < 0 ? 126 : 127);
  }
  refusal.write.Reset();
  int failure = 0;
  ssize_t got = 0;
  while ((got = ::read(refusal.read.get(), &failure, sizeof failure)) < 0 && errno == EINTR) {
  }
  if (got != sizeof failure) return child;
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return Fail(failure, "start of the program");
}

}  // namespace tierfs
