// The control socket of a mount: STATE/control.sock. One JSON object a line; the answer is one line
// too.
//   {"verb": "status"}  ->  {"ok": true, ...}   or   {"ok": false, "error": "..."}
// Only root and the daemon's own user are heard.
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

// A reply, or the reason for a refusal: one line.
template <typename Request>
using Answer = tl::expected<typename Request::Reply, std::string>;

// What a daemon answers to, by verb. Handlers are called by several threads at once.
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
  // The reply to a message, whatever it holds.
  [[nodiscard]] nlohmann::json Reply(const nlohmann::json& message) const;

 private:
  std::map<std::string, std::function<nlohmann::json(const nlohmann::json& message)>> handlers_;
};

class ControlServer {
 public:
  // Listens at once; a socket that an earlier daemon left behind is replaced. The caller holds the
  // lock on the state directory.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> Start(const std::string& state_dir, ControlHandlers handlers);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  ControlServer() = default;
  void Run();
  void Serve(int client) const;

  // One client's conversation. A settle may take minutes; a status beside it is answered at once.
  struct Conversation {
    std::thread thread;
    std::atomic<bool> over = false;
  };
  void Reap(bool all);

  ControlHandlers handlers_;
  std::list<Conversation> conversations_;  // of thread_ alone
  UniqueFd state_dir_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::thread thread_;
};

// Asks the daemon of a state directory. ENOENT or ECONNREFUSED when none runs.
[[nodiscard]] Result<nlohmann::json> AskDaemon(const std::string& state_dir, const nlohmann::json& request);

}  // namespace tierfs
