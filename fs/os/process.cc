#include "fs/os/process.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "fs/os/start_program.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

// Of reads after the end of a program: what it left behind may print for ever, and this is as much
// as a pipe can hold by default.
constexpr int kLastRounds = 16;

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
  Ender(const Command& command, pid_t child) : command_(command), target_(command.own_session ? -child : child), start_(Clock::now()) {}

  // Whether the program was ended since its patience had run out.
  [[nodiscard]] bool late() const { return late_; }

  // How long poll may wait, in milliseconds.
  [[nodiscard]] int Wait() const {
    const bool watched = command_.cancelled != nullptr || command_.enough != nullptr || command_.patience.count() > 0;
    return watched ? kLookMs : -1;
  }
  void Look() {
    const auto now = Clock::now();
    if (told_) {
      if (now - told_at_ > kGrace) ::kill(target_, SIGKILL);
      return;
    }
    late_ = command_.patience.count() > 0 && now - start_ > command_.patience;
    if (!late_ && !IsSet(command_.cancelled) && !IsSet(command_.enough)) return;
    ::kill(target_, SIGTERM);
    told_ = true;
    told_at_ = now;
  }
  // The program has ended, but is not yet waited for, so that no other has its number. What it
  // started must not outlive it if it had to be ended.
  void Ended() const {
    if (told_ && command_.own_session) ::kill(target_, SIGKILL);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr int kLookMs = 100;
  static constexpr auto kGrace = std::chrono::seconds(2);

  static bool IsSet(const std::atomic<bool>* flag) { return flag != nullptr && *flag; }

  const Command& command_;
  const pid_t target_;  // of the signals: the program, or the group of its session
  const Clock::time_point start_;
  bool told_ = false;
  bool late_ = false;
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
  const Streams streams{spooled ? spooled.get() : command.input_file, output.write.get(), error.write.get()};
  // After SIGINT programs clean up.
  TIERFS_ASSIGN(const pid_t child, StartProgram(command, streams, SIGINT));
  output.write.Reset();
  error.write.Reset();

  Lines output_lines(command.output, command.raw_output);
  Lines error_lines(command.error, command.raw_error);
  Ender ender(command, child);
  // A process left behind by the program, such as an ssh connection master, may hold the pipes for
  // ever. The end of the program itself therefore ends the wait.
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  std::array<pollfd, 3> ends{{{output.read.get(), POLLIN, 0}, {error.read.get(), POLLIN, 0}, {process.get(), POLLIN, 0}}};
  bool ended = false;
  int rounds = kLastRounds;
  while (ends[0].fd >= 0 || ends[1].fd >= 0 || (process && !ended)) {
    const int ready = ::poll(ends.data(), ends.size(), ended ? 0 : ender.Wait());
    if (ready < 0 && errno != EINTR) break;
    if (ended && (ready == 0 || --rounds < 0)) break;  // all of the program's output is read
    if (!ended) ender.Look();
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
  ender.Ended();
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (ender.late()) return Fail(ETIME, "wait for the end of the program");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace tierfs
