#include "fs/jobs/clone/inside.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <optional>

#include "fs/jobs/clone/view.h"

namespace tierfs::clone {
namespace {

// The handlers belong to the caller's process.
void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) (void)::signal(signal, SIG_DFL);
  }
}

// The rights that lead out of a clone: to mounts, to the roots and descriptors of other processes
// (through /proc), to files by their handles (past a read-only mount), to disks and memory, to the
// kernel.
constexpr int kGivenUp[] = {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_MKNOD, CAP_SYS_RAWIO, CAP_SYS_MODULE,
                            CAP_SYS_BOOT,  CAP_BPF,        CAP_PERFMON};

// For good: execve cannot bring back what is not in the bounding set.
bool GiveUpRights() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  for (const int right : kGivenUp) {
    // EINVAL: a right that this kernel does not have.
    if (::prctl(PR_CAPBSET_DROP, right, 0, 0, 0) != 0 && errno != EINVAL) return false;
    auto& set = sets[CAP_TO_INDEX(right)];
    const auto others = ~std::uint32_t{CAP_TO_MASK(right)};
    set.effective &= others;
    set.permitted &= others;
    set.inheritable &= others;
  }
  return ::syscall(SYS_capset, &header, sets.data()) == 0;
}

// A descriptor that leads to a writable mount, opened here or by the caller, must not be within the
// command's reach: /proc/1/fd opens it anew.
void CloseAllBut(int one, int other) {
  const auto [first, second] = std::minmax({static_cast<unsigned>(one), static_cast<unsigned>(other)});
  constexpr unsigned kFirst = STDERR_FILENO + 1;
  if (first > kFirst) ::close_range(kFirst, first - 1, 0);
  if (second > first + 1) ::close_range(first + 1, second - 1, 0);
  ::close_range(second + 1, ~0U, 0);
}

// Whether the space of the clone, whose mountpoint is the working directory, is used up. An
// overlayfs has the numbers of its upper directory's file system.
bool IsFull() {
  constexpr std::uint64_t kNothing = 64 << 10;  // what a file's last page may leave
  struct statvfs st {};
  if (::statvfs(".", &st) != 0) return false;
  // btrfs counts no files.
  return st.f_bavail * st.f_bsize < kNothing || (st.f_files > 0 && st.f_ffree == 0);
}

[[noreturn]] void Become(const Request& request, int output) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // A session of its own: `kill 0` in a script must not reach the caller.
  ::setsid();
  if (output >= 0) {
    ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
  }
  ::close_range(STDERR_FILENO + 1, ~0U, 0);
  std::vector<char*> arguments;
  for (const std::string& each : request.command) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  for (const std::string& each : request.environment) ::putenv(const_cast<char*>(each.c_str()));
  ::execvp(arguments[0], arguments.data());
  const bool absent = errno == ENOENT;
  ::dprintf(STDERR_FILENO, "%s: %m\n", arguments[0]);
  ::_exit(absent ? 127 : 126);
}

[[noreturn]] void GiveUp(int caller, const std::string& line) {
  const std::string message = kFailed + line;
  (void)::send(caller, message.data(), message.size(), MSG_NOSIGNAL);
  ::_exit(1);
}

// Waits for the command, and for the caller's messages. Everything that has lost its parent is this
// process's child, and is reaped here too.
int WaitFor(pid_t command, int caller, int children) {
  std::array<pollfd, 2> events{{{caller, POLLIN, 0}, {children, POLLIN, 0}}};
  for (;;) {
    if (::poll(events.data(), events.size(), -1) < 0) continue;
    if (events[0].revents != 0) {
      char message = 0;
      // The caller is gone. The kernel kills the rest with this process.
      if (::recv(caller, &message, 1, 0) <= 0) ::_exit(1);
      if (message == kTerminate) {
        if (IsFull()) (void)::send(caller, &kFull, 1, MSG_NOSIGNAL);
        (void)::kill(-1, SIGTERM);
      }
    }
    signalfd_siginfo ignored;
    if (events[1].revents != 0) (void)::read(children, &ignored, sizeof ignored);
    std::optional<int> ended;
    int status = 0;
    for (pid_t child; (child = ::waitpid(-1, &status, WNOHANG)) > 0;) {
      if (child == command) ended = status;
    }
    if (ended) return *ended;
  }
}

}  // namespace

void RunInside(const Config& config, const Request& request, const Places& places, UniqueFd caller, UniqueFd output) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  pollfd gone{caller.get(), 0, 0};
  if (::poll(&gone, 1, 0) != 0) ::_exit(1);  // the caller had ended before
  ResetSignals();
  if (const auto made = View(config, request, places.mountpoint, places.space).Make(); !made) GiveUp(caller.get(), made.error());
  // Before the command runs: it may look into this process as long as it has the same rights.
  if (!GiveUpRights() || ::prctl(PR_SET_DUMPABLE, 0) != 0) {
    GiveUp(caller.get(), std::string("the rights that lead out of the clone: ") + std::strerror(errno));
  }
  sigset_t child_ended;
  ::sigemptyset(&child_ended);
  ::sigaddset(&child_ended, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const UniqueFd children(::signalfd(-1, &child_ended, SFD_CLOEXEC));
  const pid_t command = ::fork();
  if (command < 0) GiveUp(caller.get(), "fork of the command failed");
  if (command == 0) Become(request, output.get());
  CloseAllBut(caller.get(), children.get());
  (void)::send(caller.get(), &kStarted, 1, MSG_NOSIGNAL);
  EndMessage message;
  message.status = WaitFor(command, caller.get(), children.get());
  message.full = IsFull();
  (void)::send(caller.get(), &message, sizeof message, MSG_NOSIGNAL);
  ::_exit(0);
}

}  // namespace tierfs::clone
