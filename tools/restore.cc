// tierctl restore: brings paths of tier 1 back to what a revision holds.
#include "fs/jobs/history/restore.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <optional>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/paths.h"
#include "tools/history.h"
#include "tools/output.h"
#include "tools/signals.h"

namespace tierfs::tools {
namespace {

using history::RestoreStep;

struct Request {
  std::string mount;
  std::string revision;
  std::vector<std::string> paths;
  bool dry_run = false;
  bool json = false;
};

// Where the policy puts what is written, if that is not tier 1.
std::string Elsewhere(const policy::Policy& policy, const RestoreStep& step) {
  if (step.what != RestoreStep::What::kWrite || step.item.IsDir()) return "";
  const auto decision = policy.DecisionFor(step.path, false);
  if (decision.tier == TierId::kBuild) return "";
  const auto explanation = policy.Explain(step.path, false);
  std::string text = "now belongs to tier " + std::to_string(NumberOf(decision.tier));
  if (!explanation.matches.empty()) text += " by " + policy.RuleOf(explanation.matches.front().rule).Describe();
  return text;
}

// Reports the steps as they are planned or taken.
class Report {
 public:
  Report(const Request& request, const policy::Policy& policy) : request_(request), policy_(policy) {}

  void Step(const RestoreStep& step) {
    const std::string elsewhere = Elsewhere(policy_, step);
    if (request_.json) {
      const char* what = step.what == RestoreStep::What::kRemove  ? "remove"
                         : step.what == RestoreStep::What::kWrite ? "write"
                                                                  : "attributes";
      nlohmann::json entry = {{"what", what}, {"path", step.path.empty() ? "." : step.path}};
      if (!elsewhere.empty()) entry["note"] = elsewhere;
      steps_.push_back(std::move(entry));
    } else {
      std::cout << (request_.dry_run ? "would " : "") << step.Describe() << (elsewhere.empty() ? "" : "  (" + elsewhere + ")") << "\n";
    }
    ++count_;
  }
  void Finish(const std::vector<std::string>& notes) const {
    if (request_.json) return PrintJson({{"dry_run", request_.dry_run}, {"steps", steps_}, {"notes", notes}});
    for (const std::string& note : notes) std::cout << "note: " << note << "\n";
    if (count_ == 0) std::cout << "nothing to do: everything is as the revision has it\n";
  }

 private:
  const Request& request_;
  const policy::Policy& policy_;
  nlohmann::json steps_ = nlohmann::json::array();
  std::size_t count_ = 0;
};

tl::expected<std::vector<std::string>, std::string> PathsOf(const History& history, const Request& request) {
  std::vector<std::string> paths;
  for (const std::string& each : request.paths) {
    auto path = PathInMount(history, each);
    if (!path) return tl::unexpected(path.error());
    paths.push_back(std::move(*path));
  }
  return paths;
}

bool IsInLower(const Config& config, const std::string& path) {
  return std::any_of(config.lower.begin(), config.lower.end(), [&](const std::string& lower) {
    const auto directory = OpenDirectory(lower, O_PATH);
    return directory && OpenBeneath(directory->get(), path, O_PATH | O_NOFOLLOW);
  });
}

// What no commit holds could not be brought back by another restore. The plan leaves alone what
// could not be committed.
bool CommitFirst(const Config& config, Outcome& outcome) {
  const auto reply = Ask(config, protocol::Commit{});
  if (reply) return true;
  std::cerr << reply.error() << "\n";
  outcome.code = kCannot;
  return false;
}

// The items of the revision and of the newest commit.
struct Revisions {
  history::Items wanted;
  history::Items newest;
};
history::Outcome<Revisions> ReadRevisions(const history::Repository& repository, const std::string& id) {
  Revisions revisions;
  TIERFS_ASSIGN(revisions.wanted, repository.Read(id));
  TIERFS_ASSIGN(const auto head, repository.Head());
  if (head) {
    TIERFS_ASSIGN(revisions.newest, repository.Read(head->id));
  }
  return revisions;
}

void Carry(const Request& request, const History& history, const policy::Policy& policy, const std::vector<std::string>& paths,
           const std::string& id, Outcome& outcome) {
  const Config& config = history.config;
  const auto revisions = ReadRevisions(history.repository, id);
  if (!revisions) return CannotDo(config, revisions.error(), outcome);
  const auto mount = OpenDirectory(history.mountpoint, O_PATH);
  const auto tree = OpenDirectory(config.tiers[0], O_PATH);
  if (!mount) return CannotDo(config, history.mountpoint + " cannot be opened: " + std::strerror(mount.error().code), outcome);
  if (!tree) return CannotDo(config, config.tiers[0] + " cannot be opened: " + std::strerror(tree.error().code), outcome);
  const auto in_lower = [&](const std::string& path) { return IsInLower(config, path); };
  const auto plan =
      history::PlanRestore({revisions->wanted, revisions->newest, mount->get(), tree->get(), in_lower, request.dry_run}, paths);
  if (!plan) return CannotDo(config, plan.error() + "; nothing was changed", outcome);
  Report report(request, policy);
  if (!plan->notes.empty()) outcome.code = kFindings;
  if (request.dry_run) {
    for (const RestoreStep& step : plan->steps) report.Step(step);
    return report.Finish(plan->notes);
  }
  // A signal ends it between two steps.
  std::optional<SignalsHeld> held(std::in_place);
  const auto done = history::Restore(history.repository, *plan, mount->get(), [&](const RestoreStep& step) {
    held.reset();
    report.Step(step);
    held.emplace();
  });
  held.reset();
  if (!done) return CannotDo(config, "the restore ended early: " + done.error() + "; run the same command again to continue", outcome);
  report.Finish(plan->notes);
}

void Restore(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const Config& config = history->config;
  if (const auto live = Ask(config, protocol::Status{}); !live) {
    std::cerr << live.error() << "\n";
    outcome.code = kCannot;
    return;
  }
  const auto policy = LoadPolicy(config);
  if (!policy.policy) return CannotDo(config, FirstErrorOf(policy), outcome);
  const auto paths = PathsOf(*history, request);
  if (!paths) {
    std::cerr << ErrorLine(config, paths.error()) << "\n";
    outcome.code = kUsage;
    return;
  }
  // The commit below moves the branch: "HEAD~1" is meant as it is now.
  const auto id = history->repository.Resolve(request.revision);
  if (!id) return CannotDo(config, id.error(), outcome);
  if (!request.dry_run && !CommitFirst(config, outcome)) return;
  Carry(request, *history, *policy.policy, *paths, *id, outcome);
}

}  // namespace

void AddRestore(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("restore", "Brings paths of tier 1 back to what a revision holds, through the mount");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("REV", request->revision, "a commit, as git names it, or a time: '@{yesterday}'").Required();
  verb.AddOption("PATH", request->paths, "files, or directories with all beneath; relative to the mount, or absolute").Required();
  verb.AddFlag("-n,--dry-run", request->dry_run, "only say what would be done");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(
      "Content, owner, mode, extended attributes and ACLs come back; what is as it was is left alone. What tier 1 has beneath a\n"
      "restored directory and the revision does not have is removed; files of other tiers are not. Everything is committed first;\n"
      "what no commit holds, such as a file held back by the gate, or a .git directory, is left alone. A file is complete before\n"
      "it replaces the old one. The restore is a change as any other and becomes a commit itself. Exit code 1: something could\n"
      "not be brought back, or stays; the notes say what.");
  verb.OnRun([request, &outcome] { Restore(*request, outcome); });
}

}  // namespace tierfs::tools
