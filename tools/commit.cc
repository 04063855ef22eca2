// tierctl commit, push and git: the repository of tier 1.
#include <iostream>

#include "fs/jobs/history/remote.h"
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
  std::cout << reply->commits << " commits pushed to " << Printable(history::Remote(reply->remote).address()) << "\n";
}

void Git(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  CannotDo(history->config, BecomeGit(history->repository, request.arguments), outcome);
}

Verb AddTo(Verb app, const char* name, const char* help, const std::shared_ptr<Request>& request) {
  const Verb verb = app.AddVerb(name, help);
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  return verb;
}

}  // namespace

void AddCommit(Verb app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  const Verb verb = AddTo(app, "commit", "Commits the changes of tier 1 now, settled or not", request);
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Commit(*request, outcome); });
}

void AddPush(Verb app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  const Verb verb = AddTo(app, "push", "Pushes the commits of tier 1 to the remote now", request);
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Push(*request, outcome); });
}

void AddGit(Verb app, Outcome& outcome) {
  auto request = std::make_shared<Request>();
  const Verb verb = AddTo(app, "git", "Runs git on the repository of tier 1: tierctl git MOUNT -- ARGS", request);
  verb.AddOption("ARGS", request->arguments, "the arguments of git, after --").Required();
  verb.Footer(
      "For reading, and for what no verb does: branches, gc, a bundle. git runs without the user's configuration; the\n"
      "repository's own counts. The daemon commits to 'main' only, and stops if somebody else moves it.");
  verb.OnRun([request, &outcome] { Git(*request, outcome); });
}

}  // namespace tierfs::tools
