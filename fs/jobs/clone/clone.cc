#include "fs/jobs/clone/clone.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <optional>

#include "fs/jobs/clone/inside.h"
#include "fs/jobs/clone/space.h"
#include "fs/jobs/live_mount.h"
#include "fs/os/unique_fd.h"

namespace tierfs::clone {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kGrace = std::chrono::seconds(2);  // between SIGTERM and SIGKILL

struct Pair {
  UniqueFd ours;
  UniqueFd theirs;
};

Outcome<Pair> MakeSocket() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
    return tl::unexpected(std::string("socketpair: ") + std::strerror(errno));
  return Pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Outcome<Pair> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return tl::unexpected(std::string("pipe2: ") + std::strerror(errno));
  return Pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// The caller's side of a running clone.
class Running {
 public:
  Running(const Request& request, pid_t process, UniqueFd socket, UniqueFd output)
      : request_(request), process_(process), socket_(std::move(socket)), output_(std::move(output)) {}
  // Kills what still runs in the clone. The kernel ends the namespaces with its process 1.
  ~Running() {
    (void)::kill(process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  Outcome<Ended> Wait() {
    for (;;) {
      pollfd events[] = {{socket_.get(), POLLIN, 0}, {output_.get(), POLLIN, 0}};
      const int ready = ::poll(events, 2, kLookMs);
      if (ready > 0 && events[1].revents != 0) PassOutput();
      if (ready > 0 && events[0].revents != 0) {
        if (auto ended = Receive()) return std::move(*ended);
      }
      const bool limited = started_ && request_.time_limit.count() > 0;
      if (!early_ && limited && Clock::now() - *started_ >= request_.time_limit) End(Ended::How::kTimedOut);
      if (!early_ && request_.cancelled != nullptr && *request_.cancelled) End(Ended::How::kCancelled);
      if (early_ && Clock::now() - told_ > kGrace) return Ended{*early_, 0, full_};
    }
  }

 private:
  static constexpr int kLookMs = 50;

  void End(Ended::How why) {
    early_ = why;
    told_ = Clock::now();
    (void)::send(socket_.get(), &kTerminate, 1, MSG_NOSIGNAL);
  }

  // Returns false if there is no more at present.
  bool PassOutput() {
    char buffer[65536];
    const ssize_t got = ::read(output_.get(), buffer, sizeof buffer);
    if (got > 0) request_.output(std::string_view(buffer, static_cast<std::size_t>(got)));
    if (got == 0) output_.Reset();
    return got > 0;
  }

  // Returns nothing if the command goes on.
  std::optional<Outcome<Ended>> Receive() {
    char packet[4096];
    const ssize_t got = ::recv(socket_.get(), packet, sizeof packet, 0);
    if (got <= 0) return tl::unexpected(std::string("the process of the clone was killed"));
    if (packet[0] == kFailed) return tl::unexpected(std::string(packet + 1, static_cast<std::size_t>(got) - 1));
    if (packet[0] == kStarted) {
      started_ = Clock::now();
      return std::nullopt;
    }
    if (packet[0] == kFull) {
      full_ = true;
      return std::nullopt;
    }
    EndMessage message;
    std::memcpy(&message, packet, sizeof message);
    // What the command left running may hold the pipe, and may write for ever.
    const auto enough = Clock::now() + kGrace;
    while (output_ && PassOutput() && Clock::now() < enough) {
    }
    if (early_) return Ended{*early_, 0, full_ || message.full};
    const bool exited = WIFEXITED(message.status);
    return Ended{exited ? Ended::How::kExited : Ended::How::kSignalled, exited ? WEXITSTATUS(message.status) : WTERMSIG(message.status),
                 message.full};
  }

  const Request& request_;
  const pid_t process_;
  const UniqueFd socket_;
  UniqueFd output_;
  std::optional<Clock::time_point> started_;
  std::optional<Ended::How> early_;
  bool full_ = false;  // when the command was told to end
  Clock::time_point told_;
};

Outcome<std::string> PlaceOf(const Config& config) {
  std::string place = MountpointOf(config);
  if (place.empty()) place = config.mountpoint;
  if (place.empty()) return tl::unexpected("not mounted, and " + config.file + " has no `mountpoint`: mount it first");
  return place;
}

}  // namespace

Layer Layer::Of(std::string directory) {
  Layer layer;
  layer.directory_ = std::move(directory);
  return layer;
}

Layer Layer::Made(Fill fill) {
  Layer layer;
  layer.fill_ = std::move(fill);
  return layer;
}

Layers LayersOf(const Config& config) {
  Layers layers;
  for (std::size_t i = 0; i < kTierCount; ++i) layers.tiers[i] = Layer::Of(config.tiers[i]);
  layers.lower = config.lower;
  layers.over = config.over;
  return layers;
}

Outcome<void> Check(const Config& config, const std::string& space_directory) {
  TIERFS_ASSIGN(const std::string place, PlaceOf(config));
  return space_directory.empty() ? Outcome<void>() : CheckSpace(config, place, space_directory);
}

Outcome<Ended> Run(const Config& config, const Request& request) {
  TIERFS_ASSIGN(const std::string place, PlaceOf(config));
  SpaceDirectory space;  // outlives the processes of the clone
  if (!request.space_directory.empty()) {
    TIERFS_TRY(CheckSpace(config, place, request.space_directory));
    TIERFS_TRY(space.Make(request.space_directory));
  }
  TIERFS_ASSIGN(Pair socket, MakeSocket());
  Pair output;
  if (request.output) {
    TIERFS_ASSIGN(output, MakePipe());
    ::fcntl(output.ours.get(), F_SETFL, O_NONBLOCK);
  }
  // fork into new namespaces. glibc's fork cannot do that, and unshare(2) would put this process's
  // later children into the pid namespace too.
  const unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | (request.network ? 0 : CLONE_NEWNET) | SIGCHLD;
  const auto process = static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, nullptr, nullptr));
  if (process < 0) {
    return tl::unexpected(std::string("namespaces for the clone: ") + std::strerror(errno) + (errno == EPERM ? "; run it as root" : ""));
  }
  if (process == 0) {
    socket.ours.Reset();
    output.ours.Reset();
    RunInside(config, request, {place, space.path()}, std::move(socket.theirs), std::move(output.theirs));
  }
  Running running(request, process, std::move(socket.ours), std::move(output.ours));
  socket.theirs.Reset();
  output.theirs.Reset();
  return running.Wait();
}

}  // namespace tierfs::clone
