// tierctl config check and tierctl init.
#include <iostream>

#include "fs/config/identity.h"
#include "fs/jobs/gate/judge.h"
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

}  // namespace

void AddConfig(CLI::App& app, Outcome& outcome) {
  auto* group = app.add_subcommand("config", "Configs");
  group->require_subcommand(1);
  auto* verb = group->add_subcommand("check", "Says whether a config could be mounted, and if not why not");
  auto file = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb->add_option("CONFIG", *file)->required();
  verb->add_flag("--json", *json, "for programs");
  verb->callback([file, json, &outcome] {
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

void AddInit(CLI::App& app, Outcome& outcome) {
  auto* verb = app.add_subcommand("init", "Makes the tier directories of a config and marks them as its own");
  auto file = std::make_shared<std::string>();
  auto adopt = std::make_shared<bool>(false);
  auto dry_run = std::make_shared<bool>(false);
  auto json = std::make_shared<bool>(false);
  verb->add_option("CONFIG", *file)->required();
  verb->add_flag("--adopt", *adopt, "accept directories that already hold files, as they are");
  verb->add_flag("-n,--dry-run", *dry_run, "only say what would be done");
  verb->add_flag("--json", *json, "for programs");
  verb->callback([=, &outcome] {
    const auto config = ConfigFor(*file, outcome);
    if (!config) return;
    const auto steps = InitTiers(*config, *adopt, *dry_run);
    if (!steps) {
      std::cerr << steps.error().Render() << "\n";
      outcome.code = kCannot;
      return;
    }
    nlohmann::json done = nlohmann::json::array();
    for (const InitStep& step : *steps) {
      done.push_back(step.what);
      if (!*json) std::cout << (*dry_run ? "would " : "") << step.what << "\n";
    }
    if (*json) PrintJson({{"dry_run", *dry_run}, {"steps", done}});
    if (!*json && done.empty()) std::cout << "nothing to do: the tiers are there and marked\n";
  });
}

}  // namespace tierfs::tools
