#include "fs/os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> MakePipe(int flags = 0) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | flags) != 0) return FailErrno("pipe2");
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

struct Streams {
  int input;
  int output;
  int error;
};

// Runs in the child of a vfork: it may share the memory of the caller, so it only makes system
// calls. Returns the errno of the failed call.
int Become(const Command& command, const Vectors& vectors, const Streams& streams) {
  ::prctl(PR_SET_PDEATHSIG, SIGINT);  // the signal after which programs clean up
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

// Splits the data of a pipe into lines.
class Lines {
 public:
  explicit Lines(const std::function<void(const std::string&)>& tell, const std::function<void(std::string_view)>& raw = {})
      : tell_(tell), raw_(raw) {}

  // Returns false at the end of the pipe.
  bool ReadFrom(int pipe) {
    std::array<char, 65536> buffer;
    const ssize_t got = ::read(pipe, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return true;
    if (raw_) {
      if (got > 0) raw_(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
      return got > 0;
    }
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
  const std::function<void(std::string_view)> raw_;
  std::string line_;
};

// Ends a program that has run too long or is no longer wanted.
class Ender {
 public:
  Ender(const Command& command, pid_t child) : command_(command), child_(child), start_(Clock::now()) {}

  // How long poll may wait, in milliseconds.
  [[nodiscard]] int Wait() const {
    const bool watched = command_.cancelled != nullptr || command_.enough != nullptr || command_.patience.count() > 0;
    return watched ? kLookMs : -1;
  }
  void Look() {
    const auto now = Clock::now();
    if (told_) {
      if (now - told_at_ > kGrace) ::kill(child_, SIGKILL);
      return;
    }
    const bool late = command_.patience.count() > 0 && now - start_ > command_.patience;
    if (!late && !IsSet(command_.cancelled) && !IsSet(command_.enough)) return;
    ::kill(child_, SIGTERM);
    told_ = true;
    told_at_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kLookMs = 100;
  static constexpr auto kGrace = std::chrono::seconds(2);

  static bool IsSet(const std::atomic<bool>* flag) { return flag != nullptr && *flag; }

  const Command& command_;
  const pid_t child_;
  const Clock::time_point start_;
  bool told_ = false;
  Clock::time_point told_at_;
};

}  // namespace

Result<int> RunProcess(const Command& command) {
  UniqueFd spooled;
  if (command.input_file < 0) {
    TIERFS_ASSIGN(spooled, InputFile(command.input));
  }
  TIERFS_ASSIGN(Pipe output, MakePipe());
  TIERFS_ASSIGN(Pipe error, MakePipe());
  const Vectors vectors(command);
  const Streams streams{spooled ? spooled.get() : command.input_file, output.write.get(), error.write.get()};
  TIERFS_ASSIGN(Pipe refusal, MakePipe(O_NONBLOCK));  // carries the errno of a failed start
  const pid_t child = ::vfork();
  if (child < 0) return FailErrno("vfork");
  if (child == 0) {
    const int failure = Become(command, vectors, streams);
    ::_exit(::write(refusal.write.get(), &failure, sizeof failure) < 0 ? 126 : 127);
  }
  refusal.write.Reset();
  output.write.Reset();
  error.write.Reset();

  Lines output_lines(command.output, command.raw_output);
  Lines error_lines(command.error);
  Ender ender(command, child);
  // A process left behind by the program, such as an ssh connection master, may hold the pipes for
  // ever. The end of the program itself therefore ends the wait.
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  std::array<pollfd, 3> ends{{{output.read.get(), POLLIN, 0}, {error.read.get(), POLLIN, 0}, {process.get(), POLLIN, 0}}};
  bool ended = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0 || (process && !ended)) {
    const int ready = ::poll(ends.data(), ends.size(), ended ? 0 : ender.Wait());
    if (ready < 0 && errno != EINTR) break;
    if (ready == 0 && ended) break;  // the program has ended and all of its output is read
    ender.Look();
    if (ready <= 0) continue;
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
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  int failure = 0;
  if (::read(refusal.read.get(), &failure, sizeof failure) == sizeof failure) return Fail(failure, "start of the program");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace tierfs
