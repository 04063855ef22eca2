#include "fs/daemon/daemonize.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace tierfs {
namespace {

constexpr char kReady = 'R';

// Runs in the parent until it exits.
[[noreturn]] void ReportAndExit(int from, pid_t child) {
  std::string report;
  char buffer[1024];
  for (;;) {
    const ssize_t got = ::read(from, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    report.append(buffer, static_cast<std::size_t>(got));
    if (report[0] == kReady) ::_exit(0);
  }
  if (report.empty()) {
    int status = 0;
    ::waitpid(child, &status, 0);
    report = "tierfs: the daemon ended before the mount answered\n";
  }
  std::fputs(report.c_str(), stderr);
  std::exit(1);
}

}  // namespace

Background::Background(bool foreground) {
  if (foreground) return;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return;
  UniqueFd from(ends[0]);
  UniqueFd to(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return;  // no memory for a child: serve in this process
  if (child > 0) {
    to.Reset();
    ReportAndExit(from.get(), child);
  }
  ::setsid();
  if (::chdir("/") != 0) ::_exit(1);
  report_ = std::move(to);
}

void Background::Ready() {
  if (!report_) return;
  // The output is no longer read from here on, and the terminal must not be kept open.
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (int fd = 0; fd <= 2; ++fd) ::dup2(null.get(), fd);
  (void)!::write(report_.get(), &kReady, 1);
  report_.Reset();
}

void Background::Failed(const std::string& line) {
  const std::string text = line + "\n";
  (void)!::write(report_ ? report_.get() : STDERR_FILENO, text.data(), text.size());
}

}  // namespace tierfs
