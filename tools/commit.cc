// tierctl commit, push and git: the repository of tier 1.
#include <iostream>

#include "fs/os/paths.h"
#include "tools/history.h"
#include "tools/output.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  std::vector<std::string> arguments;
  bool json = false;
};

void Refuse(const std::string& error, Outcome& outcome) {
  std::cerr << error << "\n";
  outcome.code = kCannot;
}

void Commit(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const auto reply = Ask(history->config, protocol::Commit{});
  if (!reply) return Refuse(reply.error(), outcome);
  if (request.json) return PrintJson(*reply);
  for (const std::string& id : reply->commits) {
    const auto line = history->repository.Run({"log", "-1", "--format=%h  %s", id, "--"});
    std::cout << (line ? *line : id + "\n");
  }
  if (reply->commits.empty()) std::cout << "nothing to commit\n";
  if (reply->waiting != 0) std::cout << reply->waiting << " changed paths wait: they are open for writing, or changing\n";
}

void Push(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const auto reply = Ask(history->config, protocol::Push{});
  if (!reply) return Refuse(reply.error(), outcome);
  if (request.json) return PrintJson(*reply);
  std::cout << reply->commits << " commits pushed to " << Printable(history::WithoutPassword(reply->remote)) << "\n";
}

void Git(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  CannotDo(history->config, BecomeGit(history->repository, request.arguments), outcome);
}

CLI::App* AddTo(CLI::App& app, const char* name, const char* help, const std::shared_ptr<Request>& request) {
  auto* verb = app.add_subcommand(name, help);
  verb->add_option("MOUNT", request->mount, "config file, mountpoint or name")->required();
  return verb;
}

}  // namespace

void AddCommit(CLI::App& app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  auto* verb = AddTo(app, "commit", "Commits the changes of tier 1 now, settled or not", request);
  verb->add_flag("--json", request->json, "for programs");
  verb->callback([request, &outcome] { Commit(*request, outcome); });
}

void AddPush(CLI::App& app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  auto* verb = AddTo(app, "push", "Pushes the commits of tier 1 to the remote now", request);
  verb->add_flag("--json", request->json, "for programs");
  verb->callback([request, &outcome] { Push(*request, outcome); });
}

void AddGit(CLI::App& app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  auto* verb = AddTo(app, "git", "Runs git on the repository of tier 1: tierctl git MOUNT -- ARGS", request);
  verb->add_option("ARGS", request->arguments, "the arguments of git, after --")->required();
  verb->footer(
      "For reading, and for what no verb does: branches, gc, a bundle. git runs without the user's configuration; the\n"
      "repository's own counts. The daemon commits to 'main' only, and stops if somebody else moves it.");
  verb->callback([request, &outcome] { Git(*request, outcome); });
}

}  // namespace tierfs::tools
