#include "fs/control/control.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

namespace tierfs {
namespace {

constexpr const char kSocketName[] = "control.sock";
constexpr std::size_t kMaxLine = 1 << 20;
constexpr int kPatienceSeconds = 10;
constexpr int kConnectSeconds = 1;
constexpr std::chrono::milliseconds kStoppedTime{1000};

// Returns the address of the socket in an open directory. It goes through /proc because a socket's
// path is limited to 107 bytes and a state directory's path may be longer.
sockaddr_un AddressIn(int directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, kSocketName);
  return address;
}

Result<std::string> ReadLine(int socket) {
  std::string line;
  char buffer[4096];
  while (line.size() < kMaxLine) {
    const ssize_t got = ::recv(socket, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("recv on the control socket");
    if (got == 0) break;
    line.append(buffer, static_cast<std::size_t>(got));
    if (line.back() == '\n') break;
  }
  return line;
}

Status WriteLine(int socket, const nlohmann::json& message) {
  // Paths are bytes. Bytes that are not UTF-8 are replaced for the reader rather than refused.
  const std::string line = message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t put = ::send(socket, line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return FailErrno("send on the control socket");
    sent += static_cast<std::size_t>(put);
  }
  return {};
}

// Connects as a client. The kernel accepts the connection even if the daemon is stopped.
Result<UniqueFd> Connect(const std::string& state_dir) {
  const UniqueFd directory(::open(state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return FailErrno("open of the state directory");
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return FailErrno("socket");
  const timeval patience{kConnectSeconds, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const sockaddr_un address = AddressIn(directory.get());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return Fail(ETIMEDOUT, "connect to the control socket");
    return FailErrno("connect to the control socket");
  }
  return socket;
}

// Returns the process that listens at the other end (SO_PEERCRED, unix(7)), and its state
// (/proc/PID/stat, proc(5)).
Result<DaemonProcess> ProcessOf(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return FailErrno("SO_PEERCRED");
  std::ifstream file("/proc/" + std::to_string(peer.pid) + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(") ");
  const char state = name_end == std::string::npos ? '?' : line[name_end + 2];
  return DaemonProcess{peer.pid, state == 'T' || state == 't'};
}

// Whether the socket has something to read within the time.
bool IsReadableWithin(int socket, std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  for (;;) {
    pollfd waiting{socket, POLLIN, 0};
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    const int ready = ::poll(&waiting, 1, std::max(0, static_cast<int>(left.count())));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

// Waits for the first byte of the reply to a question.
Status AwaitReply(int socket) {
  if (IsReadableWithin(socket, kStoppedTime)) return {};
  const auto daemon = ProcessOf(socket);
  const bool stopped = daemon && daemon->stopped;
  if (!stopped && IsReadableWithin(socket, std::chrono::seconds(kPatienceSeconds) - kStoppedTime)) return {};
  return Fail(ETIMEDOUT, "the daemon's answer");
}

}  // namespace

nlohmann::json ControlHandlers::Reply(const nlohmann::json& message) const {
  const bool named = message.is_object() && message.contains("verb") && message["verb"].is_string();
  const auto handler = named ? handlers_.find(message["verb"].get<std::string>()) : handlers_.end();
  if (handler == handlers_.end()) return {{"ok", false}, {"error", "unknown verb"}};
  try {
    return handler->second(message);
  } catch (const nlohmann::json::exception& wrong) {
    return {{"ok", false}, {"error", std::string("the request is wrong: ") + wrong.what()}};
  }
}

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& state_dir, ControlHandlers handlers) {
  std::unique_ptr<ControlServer> server(new ControlServer());
  server->handlers_ = std::move(handlers);
  server->state_dir_ = UniqueFd(::open(state_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!server->state_dir_) return FailErrno("open of the state directory");
  server->listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  server->stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!server->listener_ || !server->stop_) return FailErrno("control socket");
  ::unlinkat(server->state_dir_.get(), kSocketName, 0);
  const sockaddr_un address = AddressIn(server->state_dir_.get());
  if (::bind(server->listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return FailErrno("bind of the control socket");
  }
  ::fchmodat(server->state_dir_.get(), kSocketName, 0600, 0);
  if (::listen(server->listener_.get(), SOMAXCONN) != 0) return FailErrno("listen on the control socket");
  server->thread_ = std::thread([raw = server.get()] { raw->Run(); });
  return server;
}

ControlServer::~ControlServer() {
  if (thread_.joinable()) {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  if (state_dir_) ::unlinkat(state_dir_.get(), kSocketName, 0);
}

void ControlServer::Run() {
  for (;;) {
    pollfd waiting[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (waiting[1].revents != 0) break;
    if (waiting[0].revents == 0) continue;
    UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    Reap(false);
    if (!client) continue;
    Conversation& conversation = conversations_.emplace_back();
    conversation.thread = std::thread([this, &conversation, socket = std::move(client)] {
      Serve(socket.get());
      conversation.over = true;
    });
  }
  Reap(true);
}

void ControlServer::Reap(bool all) {
  conversations_.remove_if([all](Conversation& each) {
    if (!all && !each.over) return false;
    each.thread.join();
    return true;
  });
}

void ControlServer::Serve(int client) const {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || (peer.uid != 0 && peer.uid != ::geteuid())) return;
  // A client that connects and stays silent must not block the others for ever.
  const timeval patience{kPatienceSeconds, 0};
  ::setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const auto line = ReadLine(client);
  if (!line) return;
  const nlohmann::json reply = handlers_.Reply(nlohmann::json::parse(*line, nullptr, false));
  // The client may be gone; the reply is then discarded.
  (void)WriteLine(client, reply);
}

Result<nlohmann::json> AskDaemon(const std::string& state_dir, const nlohmann::json& request, Patience patience) {
  TIERFS_ASSIGN(const UniqueFd socket, Connect(state_dir));
  TIERFS_TRY(WriteLine(socket.get(), request));
  if (patience == Patience::kShort) TIERFS_TRY(AwaitReply(socket.get()));
  TIERFS_ASSIGN(const std::string line, ReadLine(socket.get()));
  nlohmann::json reply = nlohmann::json::parse(line, nullptr, false);
  if (!reply.is_object()) return Fail(EPROTO, "the daemon's answer");
  return reply;
}

Result<DaemonProcess> FindDaemon(const std::string& state_dir) {
  TIERFS_ASSIGN(const UniqueFd socket, Connect(state_dir));
  return ProcessOf(socket.get());
}

}  // namespace tierfs
