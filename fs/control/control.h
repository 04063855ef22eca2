// The control socket of a mount, STATE/control.sock. Each message is one JSON object on one line;
// the reply is one line too.
//
//   {"verb": "status"}  ->  {"ok": true, ...}   or   {"ok": false, "error": "..."}
//
// Only requests from root and the daemon's own user are answered.
#pragma once

#include <nlohmann/json.hpp>

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "fs/control/protocol.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// A reply, or a one-line reason for a refusal.
template <typename Request>
using Answer = tl::expected<typename Request::Reply, std::string>;

// Owns the handlers of the daemon's verbs. Several threads may call a handler at once.
class ControlHandlers {
 public:
  template <typename Request>
  void On(std::function<Answer<Request>(const Request&)> handler) {
    handlers_[Request::kVerb] = [handler = std::move(handler)](const nlohmann::json& message) -> nlohmann::json {
      const Answer<Request> answer = handler(protocol::FromJson<Request>(message));
      if (!answer) return {{"ok", false}, {"error", answer.error()}};
      nlohmann::json reply = *answer;
      reply["ok"] = true;
      return reply;
    };
  }
  // Returns the reply to any message, valid or not.
  [[nodiscard]] nlohmann::json Reply(const nlohmann::json& message) const;

 private:
  std::map<std::string, std::function<nlohmann::json(const nlohmann::json& message)>> handlers_;
};

// Owns the socket, the thread that accepts clients, and one thread for each conversation. The
// destructor ends them.
class ControlServer {
 public:
  // Listens at once. Replaces a socket left behind by an earlier daemon. The caller holds the lock
  // on the state directory.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> Start(const std::string& state_dir, ControlHandlers handlers);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  ControlServer() = default;
  void Run();
  void Serve(int client) const;

  // The conversation with one client, on a thread of its own. A settle may take minutes; a status
  // request beside it is answered at once.
  struct Conversation {
    std::thread thread;
    std::atomic<bool> over = false;
  };
  void Reap(bool all);

  ControlHandlers handlers_;
  std::list<Conversation> conversations_;  // used by thread_ only
  UniqueFd state_dir_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::thread thread_;
};

// How long a client waits for the reply. Connecting and sending never take long.
enum class Patience {
  kShort,   // a question: 1 s if the daemon is stopped, 10 s if it is only slow
  kEndless  // a job
};

// Sends a request to the daemon of a state directory. Returns ENOENT or ECONNREFUSED if none runs,
// ETIMEDOUT if it does not reply in time.
[[nodiscard]] Result<nlohmann::json> AskDaemon(const std::string& state_dir, const nlohmann::json& request,
                                               Patience patience = Patience::kShort);

// The daemon's process, as far as it can be seen from outside.
struct DaemonProcess {
  pid_t pid = 0;
  bool stopped = false;  // by a signal or a debugger: it serves nothing until it goes on
};
// Returns the process that listens on the control socket. ENOENT or ECONNREFUSED if none does.
[[nodiscard]] Result<DaemonProcess> FindDaemon(const std::string& state_dir);

}  // namespace tierfs
