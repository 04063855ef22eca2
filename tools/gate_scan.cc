// tierctl gate scan and test: what the gate would find.
#include <fcntl.h>

#include <filesystem>
#include <iostream>

#include "fs/jobs/gate/judge.h"
#include "fs/jobs/history/capture.h"
#include "fs/jobs/history/repository.h"
#include "fs/jobs/history/scan.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/tier/walk.h"
#include "tools/catalogue.h"
#include "tools/gate.h"
#include "tools/mounts.h"
#include "tools/output.h"

namespace tierfs::tools {
namespace {

namespace fs = std::filesystem;
template <typename T>
using Answered = tl::expected<T, std::string>;  // the error is one line

struct Request {
  std::string mount;
  std::string path;
  std::vector<std::string> files;
  std::vector<std::string> rules;
  bool history = false;
  bool json = false;
};

struct Hit {
  std::string path;
  gate::Verdict verdict;
  std::string commit;  // the first that holds it; "" for the tree as it is now
};

void Refuse(const std::string& error, int code, Outcome& outcome) {
  std::cerr << "tierctl: " << Printable(error) << "\n";
  outcome.code = code;
}

std::string Trouble(const std::string& path, const Error& error) {
  return Quoted(path) + ": " + error.step + ": " + std::strerror(error.code);
}

// Prints "PATH:LINE: RULE: DESCRIPTION" for each finding.
void Print(const Hit& hit) {
  const std::string path = Quoted(hit.path) + (hit.commit.empty() ? "" : " in " + hit.commit);
  for (const gate::Finding& finding : hit.verdict.findings) {
    const std::string place = finding.place.empty() ? "" : " (" + finding.place + ")";
    std::cout << path << ":" << (finding.line == 0 ? "" : std::to_string(finding.line) + ":") << " " << finding.rule << ": "
              << finding.description << (finding.line == 0 ? place : "") << "\n";
  }
  gate::Verdict kind = hit.verdict;
  kind.findings.clear();
  if (!kind.Passes()) std::cout << path << ": " << kind.Reason() << "\n";
}

nlohmann::json ToJson(const Hit& hit) {
  nlohmann::json json = PathToJson(hit.path);
  json.update(VerdictToJson(hit.verdict));
  if (!hit.commit.empty()) json["commit"] = hit.commit;
  return json;
}

// --- scan

// Judges one path of a tree. A path that is gone passes.
Answered<gate::Verdict> JudgePath(const gate::Judge& judge, int root, const std::string& path, std::uint64_t max_file) {
  const auto captured = history::Capture(root, path, max_file);
  if (!captured) return tl::unexpected(Trouble(path, captured.error()));
  if (!captured->present) return gate::Verdict();
  return judge.Of({path, captured->content, captured->item.attributes.xattrs, captured->oversize});
}

bool IsAbsent(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

// Says where a path is that tier 1 does not hold.
std::string Elsewhere(const Config& config, const std::string& path) {
  const int tier = TierWith(config, path);
  if (tier == 0) return "no tier holds " + Quoted(path);
  return Quoted(path) + " is in tier " + std::to_string(tier) + ", so it is not committed; 'tierctl gate list " + config.name +
         "' says whether the gate put it there, and 'tierctl gate test FILE' looks at it where it is";
}

Answered<std::vector<Hit>> ScanTree(const Config& config, const gate::Judge& judge, const std::string& above, std::uint64_t& seen) {
  const auto root = OpenDirectory(config.tiers[0], O_PATH);
  if (!root) return tl::unexpected(Trouble(config.tiers[0], root.error()));
  const auto start = OpenBeneath(root->get(), above, O_PATH | O_NOFOLLOW);
  if (!start) return tl::unexpected(IsAbsent(start.error()) ? Elsewhere(config, above) : Trouble(above, start.error()));
  Progress progress("looking at tier 1 of " + config.name + ":");
  std::vector<Hit> hits;
  std::string trouble;
  const auto look = [&](const std::string& path) {
    if (++seen % 100 == 0) progress.Show(seen);
    auto verdict = JudgePath(judge, root->get(), path, config.gate.max_file);
    if (!verdict) {
      if (trouble.empty()) trouble = verdict.error();
    } else if (!verdict->Passes()) {
      hits.push_back({path, std::move(*verdict), ""});
    }
  };
  look(above);
  const auto st = StatFd(start->get());
  if (st && S_ISDIR(st->st_mode)) {
    const Status walked = WalkTree(
        start->get(), [&](const WalkedEntry& entry) { look(JoinPath(above, entry.path)); }, [](const WalkedEntry&) { return true; });
    if (!walked) return tl::unexpected(Trouble(above, walked.error()));
  }
  if (!trouble.empty()) return tl::unexpected(trouble);
  return hits;
}

Answered<std::vector<Hit>> ScanHistory(const Config& config, const gate::Judge& judge, std::uint64_t& seen) {
  if (!config.version) return tl::unexpected(config.file + ": there is no [version], so there is no history");
  const history::Repository repository(config.version->repo);
  Progress progress("looking at the history of " + config.name + ":");
  const auto show = [&](std::uint64_t at, std::uint64_t of) {
    if (++seen % 100 == 0) progress.Show(std::to_string(at) + " of " + std::to_string(of));
  };
  auto found = history::ScanHistory(repository, "--all", judge, config.gate.max_file, show);
  if (!found) return tl::unexpected(config.version->repo + ": " + found.error());
  std::vector<Hit> hits;
  for (history::HistoryFinding& each : *found) {
    hits.push_back({std::move(each.path), std::move(each.verdict), each.commit.empty() ? "a tag" : each.commit});
  }
  return hits;
}

void Scan(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto judge = gate::Judge::Open(*config);
  if (!judge) return Refuse(judge.error(), kUsage, outcome);
  std::uint64_t seen = 0;
  const auto path = GivenPath(*config, request.path);
  if (!path) return Refuse(path.error(), kUsage, outcome);
  auto hits = ScanTree(*config, *judge, *path, seen);
  if (!hits) return Refuse(hits.error(), kCannot, outcome);
  const std::size_t now = hits->size();
  if (request.history) {
    auto old = ScanHistory(*config, *judge, seen);
    if (!old) return Refuse(old.error(), kCannot, outcome);
    hits->insert(hits->end(), std::make_move_iterator(old->begin()), std::make_move_iterator(old->end()));
  }
  if (request.json) {
    nlohmann::json all = nlohmann::json::array();
    for (const Hit& hit : *hits) all.push_back(ToJson(hit));
    PrintJson({{"seen", seen}, {"found", all}});
  } else {
    for (const Hit& hit : *hits) Print(hit);
    if (config->gate.on_finding == GateConfig::OnFinding::kOff)
      std::cout << "the gate is off (gate.on_finding): all of this is committed\n";
    if (now > 0) PrintCures(*config, now == 1 ? hits->front().path : "");
    if (hits->size() > now) {
      std::cout
          << "What is in the history stays there: replace the secret where it is used; only a rewrite (git filter-repo) removes it.\n";
    }
    std::cout << seen << " looked at, " << hits->size() << " would be kept back\n";
  }
  if (!hits->empty()) outcome.code = kFindings;
}

// --- test

Answered<Hit> TestFile(const gate::Judge& judge, const std::string& file, const std::string& as, std::uint64_t max_file) {
  std::error_code problem;
  const fs::path real = fs::canonical(file, problem);
  if (problem) return tl::unexpected(Quoted(file) + ": " + problem.message());
  if (!fs::is_regular_file(real, problem)) return tl::unexpected(Quoted(file) + " is not a file");
  const auto directory = OpenDirectory(real.parent_path().string(), O_PATH);
  if (!directory) return tl::unexpected(Trouble(file, directory.error()));
  const auto captured = history::Capture(directory->get(), real.filename().string(), max_file);
  if (!captured) return tl::unexpected(Trouble(file, captured.error()));
  const std::string path = as.empty() ? file.substr(std::min(file.find_first_not_of('/'), file.size())) : as;
  return Hit{file, judge.Of({path, captured->content, captured->item.attributes.xattrs, captured->oversize}), ""};
}

void Test(const Request& request, Outcome& outcome) {
  Config config;
  config.gate.rules = request.rules;
  const auto judge = gate::Judge::Open(config);
  if (!judge) return Refuse(judge.error(), kUsage, outcome);
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& file : request.files) {
    const auto hit = TestFile(*judge, file, request.path, config.gate.max_file);
    if (!hit) {
      Refuse(hit.error(), kCannot, outcome);
      continue;
    }
    if (!hit->verdict.Passes() && outcome.code == kOk) outcome.code = kFindings;
    if (!request.json) Print(*hit);
    all.push_back(ToJson(*hit));
  }
  if (request.json) PrintJson(all);
}

}  // namespace

void AddGateScan(Verb group, Outcome& outcome) {
  const Verb verb = group.AddVerb("scan", "What the gate would keep back of tier 1 as it is now");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("PATH", request->path, "only this path and everything beneath it, relative to the mount");
  verb.AddFlag("--history", request->history, "also look at everything that the repository holds");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer("Works mounted and unmounted. Changes nothing. Exit code 1: something would be kept back.");
  verb.OnRun([request, &outcome] { Scan(*request, outcome); });
}

void AddGateTest(Verb group, Outcome& outcome) {
  const Verb verb = group.AddVerb("test", "What the gate finds in files, on a mount or not");
  auto request = std::make_shared<Request>();
  verb.AddOption("FILE", request->files, "files to look at").Required();
  verb.AddOption("--path", request->path, "the path on the mount that they would have; some rules go by it");
  verb.AddOption("--rules", request->rules, "more rules, in the form of gitleaks; may be given again").OneValueEach();
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer("Exit code 1: something was found.");
  verb.OnRun([request, &outcome] { Test(*request, outcome); });
}

}  // namespace tierfs::tools
