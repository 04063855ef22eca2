#include "fs/daemon/hangup.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <utility>

namespace tierfs {

Hangup::Hangup() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC));
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
}

void Hangup::Start(std::function<void()> act) {
  if (!signals_ || !stop_) return;
  thread_ = std::thread([this, act = std::move(act)] {
    for (;;) {
      pollfd waiting[2] = {{signals_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(waiting, 2, -1) < 0 && errno != EINTR) return;
      if (waiting[1].revents != 0) return;
      signalfd_siginfo signal{};
      if (waiting[0].revents != 0 && ::read(signals_.get(), &signal, sizeof signal) == sizeof signal) act();
    }
  });
}

void Hangup::Stop() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

}  // namespace tierfs
