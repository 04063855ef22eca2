#include "fs/jobs/clone/inside.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
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

// Gives up CAP_SYS_ADMIN for good: execve cannot bring back what is not in the bounding set.
bool GiveUpMounting() {
  if (::prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) != 0) return false;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return false;
  auto& set = sets[CAP_TO_INDEX(CAP_SYS_ADMIN)];
  const auto others = ~std::uint32_t{CAP_TO_MASK(CAP_SYS_ADMIN)};
  set.effective &= others;
  set.permitted &= others;
  set.inheritable &= others;
  return ::syscall(SYS_capset, &header, sets.data()) == 0;
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
  if (!GiveUpMounting()) {
    ::dprintf(STDERR_FILENO, "the right to mount cannot be given up: %m\n");
    ::_exit(126);
  }
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
      if (message == kTerminate) (void)::kill(-1, SIGTERM);
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
  View view(config, request, places.mountpoint, places.space);
  if (const auto made = view.Make(); !made) GiveUp(caller.get(), made.error());

  sigset_t child_ended;
  ::sigemptyset(&child_ended);
  ::sigaddset(&child_ended, SIGCHLD);
  ::sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const UniqueFd children(::signalfd(-1, &child_ended, SFD_CLOEXEC));
  const pid_t command = ::fork();
  if (command < 0) GiveUp(caller.get(), "fork of the command failed");
  if (command == 0) Become(request, output.get());
  output.Reset();
  (void)::send(caller.get(), &kStarted, 1, MSG_NOSIGNAL);
  EndMessage message;
  message.status = WaitFor(command, caller.get(), children.get());
  message.full = view.IsFull();
  (void)::send(caller.get(), &message, sizeof message, MSG_NOSIGNAL);
  ::_exit(0);
}

}  // namespace tierfs::clone
