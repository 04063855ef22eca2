// tierctl config check and tierctl init.
#include <iostream>

#include "fs/config/identity.h"
#include "fs/jobs/gate/judge.h"
#include "tools/history_init.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

// Returns every reason why the config could not be mounted, one line each.
std::vector<std::string> ProblemsOf(const std::string& file) {
  const auto config = FindConfig(file);
  if (!config) return {config.error()};
  std::vector<std::string> problems;
  if (const auto paths = CheckPaths(*config, config->mountpoint); !paths) {
    problems.push_back(paths.error().Render());
  } else if (const auto identity = CheckIdentity(*config); !identity) {
    problems.push_back(identity.error().Render());
  }
  for (const auto& error : LoadPolicy(*config).errors) problems.push_back(error.Headline());
  if (const auto judge = gate::Judge::Open(*config); !judge) problems.push_back(judge.error());
  return problems;
}

struct InitRequest {
  std::string config;
  bool adopt = false;
  bool json = false;
  RepositoryRequest repository;
};

void Init(const InitRequest& request, Outcome& outcome) {
  const auto config = ConfigFor(request.config, outcome);
  if (!config) return;
  const bool dry_run = request.repository.dry_run;
  // Both are checked before either changes anything.
  auto steps = InitTiers(*config, request.adopt, true);
  const auto repository = steps ? InitRepository(*config, request.repository) : RepositorySteps{};
  if (steps && repository && !dry_run) steps = InitTiers(*config, request.adopt, false);
  if (!steps || !repository) {
    if (!steps) std::cerr << steps.error().Render() << "\n";
    for (const std::string& line : repository ? std::vector<std::string>{} : repository.error()) std::cerr << line << "\n";
    outcome.code = kCannot;
    return;
  }
  std::vector<std::string> done;
  for (const InitStep& step : *steps) done.push_back(step.what);
  done.insert(done.end(), repository->begin(), repository->end());
  if (request.json) PrintJson({{"dry_run", dry_run}, {"steps", done}});
  for (const std::string& step : done) {
    if (!request.json) std::cout << (dry_run ? "would " : "") << step << "\n";
  }
  if (!request.json && done.empty()) std::cout << "nothing to do: the tiers are there and marked\n";
}

}  // namespace

void AddConfig(Verb app, Outcome& outcome) {
  const Verb group = app.AddVerb("config", "Configs");
  group.NeedsVerb();
  const Verb verb = group.AddVerb("check", "Says whether a config could be mounted, and if not why not");
  auto file = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb.AddOption("CONFIG", *file).Required();
  verb.AddFlag("--json", *json, "for programs");
  verb.OnRun([file, json, &outcome] {
    const auto problems = ProblemsOf(*file);
    if (*json) {
      PrintJson({{"config", *file}, {"problems", problems}});
    } else {
      for (const std::string& problem : problems) std::cerr << problem << "\n";
      if (problems.empty()) std::cout << *file << ": good\n";
    }
    if (!problems.empty()) outcome.code = kUsage;
  });
}

void AddInit(Verb app, Outcome& outcome) {
  const Verb verb =
      app.AddVerb("init", "Makes the tier directories of a config, marks them as its own, and makes the repository of tier 1");
  auto request = std::make_shared<InitRequest>();
  RepositoryRequest& repository = request->repository;
  verb.AddOption("CONFIG", request->config).Required();
  verb.AddFlag("--adopt", request->adopt, "accept directories that already hold files, as they are");
  const Option import =
      verb.AddOption("--import-git", repository.import,
                     "take over the history of this git repository: a work tree, its .git, or a bare one (with [version])");
  verb.AddOption("--import-prefix", repository.prefix, "put its files beneath this path of the mount: etc, for etckeeper's /etc")
      .Needs(import);
  verb.AddFlag("--import-findings", repository.findings, "take it over although the gate would have stopped files of it").Needs(import);
  verb.AddFlag("-n,--dry-run", repository.dry_run, "only say what would be done");
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Init(*request, outcome); });
}

}  // namespace tierfs::tools
