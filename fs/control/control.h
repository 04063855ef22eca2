// The control socket of a mount: STATE/control.sock. One JSON object a line; the answer is one line too.
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

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// Answers a request; what it returns becomes the reply, with "ok" added. Called by several threads at once.
// A key of the wrong type may throw as nlohmann does: the client is told.
using ControlHandler = std::function<nlohmann::json(const nlohmann::json& request)>;

class ControlServer {
 public:
  // Listens at once; a socket that an earlier daemon left behind is replaced. The caller holds the lock on the state directory.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> Start(const std::string& state_dir,
                                                                    std::map<std::string, ControlHandler> handlers);
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

  std::map<std::string, ControlHandler> handlers_;
  std::list<Conversation> conversations_;  // of thread_ alone
  UniqueFd state_dir_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::thread thread_;
};

// Asks the daemon of a state directory. ENOENT or ECONNREFUSED when none runs.
[[nodiscard]] Result<nlohmann::json> AskDaemon(const std::string& state_dir, const nlohmann::json& request);

}  // namespace tierfs
