#include "tools/history_init.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "fs/jobs/history/scan.h"
#include "fs/jobs/live_mount.h"
#include "fs/os/paths.h"
#include "fs/os/random_id.h"

namespace tierfs::tools {
namespace {

namespace fs = std::filesystem;

tl::unexpected<std::vector<std::string>> Refused(const Config& config, const std::string& why) {
  return tl::unexpected(std::vector<std::string>{ErrorLine(config, why)});
}

// The history of another repository, in a directory of its own until it is accepted.
RepositorySteps Import(const Config& config, const RepositoryRequest& request) {
  const std::string& target = config.version->repo;
  const std::string what =
      "take over the history of " + request.import + (request.prefix.empty() ? "" : " beneath " + request.prefix) + " into " + target;
  const auto judge = gate::Judge::Open(config);
  if (!judge) return Refused(config, judge.error());
  if (request.dry_run) return std::vector<std::string>{what};
  std::error_code problem;
  fs::create_directories(fs::path(target).parent_path(), problem);
  const std::string temporary = target + ".import-" + RandomId(1);
  const history::Repository repository(temporary);
  const auto refuse = [&](const std::string& why) {
    fs::remove_all(temporary, problem);
    return Refused(config, why);
  };
  if (const auto copied = repository.CreateFrom(request.import, request.prefix); !copied) return refuse(copied.error());
  const auto findings = history::ScanHistory(repository, history::Repository::kRef, *judge, config.gate.max_file, [](auto, auto) {});
  if (!findings) return refuse(findings.error());
  if (!findings->empty() && !request.findings) {
    fs::remove_all(temporary, problem);
    std::vector<std::string> lines;
    for (const auto& each : *findings) lines.push_back(each.commit + "  " + Quoted(each.path) + ": " + each.verdict.Reason());
    lines.push_back(ErrorLine(config, std::to_string(findings->size()) +
                                          " findings in that history: remove them with "
                                          "'git filter-repo', allow them in " +
                                          config.gate.allow + ", or give --import-findings; nothing was changed"));
    return tl::unexpected(std::move(lines));
  }
  if (std::rename(temporary.c_str(), target.c_str()) != 0) return refuse("cannot make " + target + ": " + std::strerror(errno));
  return std::vector<std::string>{what};
}

}  // namespace

RepositorySteps InitRepository(const Config& config, const RepositoryRequest& request) {
  if (!config.version) {
    if (request.import.empty()) return std::vector<std::string>{};
    return Refused(config, "tier 1 has no history: add [version] with 'repo' to " + config.file);
  }
  const history::Repository repository(config.version->repo);
  std::error_code problem;
  const bool present = fs::exists(repository.directory(), problem) && !fs::is_empty(repository.directory(), problem);
  if (present && !request.import.empty()) {
    return Refused(config, repository.directory() + " exists: a history can only be taken over into a new repository");
  }
  if (!request.import.empty()) return Import(config, request);
  if (present) {
    if (const auto good = repository.Check(); !good) return Refused(config, good.error());
    return std::vector<std::string>{};
  }
  if (!request.dry_run) {
    if (const auto made = repository.Create(); !made) return Refused(config, made.error());
  }
  return std::vector<std::string>{"make the repository " + repository.directory() + " for the history of tier 1"};
}

}  // namespace tierfs::tools
