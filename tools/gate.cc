// tierctl gate: what is kept out of the history of tier 1, and why.
#include "tools/gate.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "fs/jobs/gate/allow_file.h"
#include "fs/jobs/gate/gate_file.h"
#include "fs/jobs/history/capture.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "tools/catalogue.h"
#include "tools/mounts.h"
#include "tools/output.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  std::vector<std::string> paths;
  std::string rule;
  bool by_content = false;  // the default
  bool by_path = false;
  bool dry_run = false;
  bool json = false;
};

void Refuse(const std::string& error, int code, Outcome& outcome) {
  std::cerr << "tierctl: " << Printable(error) << "\n";
  outcome.code = code;
}

// Reads the path as it is in the first tier that has it. The error is one line.
tl::expected<history::Captured, std::string> Present(const Config& config, const std::string& path) {
  const int tier = TierWith(config, path);
  const std::string where = "no tier holds " + Quoted(path);
  if (tier == 0) return tl::unexpected(where + "; --path allows a path whatever it holds");
  const auto root = OpenDirectory(config.tiers[static_cast<std::size_t>(tier - 1)], O_PATH);
  if (!root) return tl::unexpected(where);
  auto captured = history::Capture(root->get(), path, config.gate.max_file);
  if (!captured) return tl::unexpected(Quoted(path) + ": " + captured.error().step + ": " + std::strerror(captured.error().code));
  const mode_t mode = captured->item.attributes.mode;
  if (!S_ISREG(mode) && !S_ISLNK(mode)) {
    return tl::unexpected(Quoted(path) + " is " + (S_ISDIR(mode) ? "a directory" : "a special file") +
                          "; --path allows it whatever it holds");
  }
  if (captured->changing) return tl::unexpected(Quoted(path) + " is being written; try again");
  return std::move(*captured);
}

// What the daemon has to settle. JSON carries UTF-8 only: another path is settled with all that is
// in the directory above it.
std::vector<std::string> Sendable(const std::vector<std::string>& paths) {
  std::set<std::string> sendable;
  for (std::string path : paths) {
    while (PathToJson(path).contains("bytes")) path = ParentOf(path);
    sendable.insert(path);
  }
  return {sendable.begin(), sendable.end()};
}

// Has the daemon act on what was changed. The text says what happens next.
tl::expected<std::string, std::string> Apply(const Config& config, const std::vector<std::string>& paths) {
  if (!FindDaemon(config.state)) {
    return "nothing is mounted: the next mount goes by it, and 'tierctl settle " + config.name + "' then moves the files";
  }
  const auto reply = Ask(config, protocol::ReloadGate{Sendable(paths)});
  if (!reply) return tl::unexpected(reply.error());
  return "the mount goes by it now";
}

// --- list

nlohmann::json Listed(const Config& config, const std::vector<gate::Entry>& entries) {
  nlohmann::json list = {{"rules", config.GateRules()}, {"paths", nlohmann::json::array()}, {"held", nlohmann::json::array()}};
  for (const gate::Entry& entry : entries) {
    nlohmann::json each = PathToJson(entry.path);
    const int tier = TierWith(config, entry.path);
    each.update({{"reason", entry.reason}, {"tier", tier == 0 ? nlohmann::json() : nlohmann::json(tier)}});
    list["paths"].push_back(std::move(each));
  }
  const auto daemon = Ask(config, protocol::Status{});
  list["mounted"] = daemon.has_value();
  std::uint64_t count = daemon ? daemon->history.held_count : 0;
  for (const protocol::HeldBack& held : daemon ? daemon->history.held : std::vector<protocol::HeldBack>()) {
    // A file that is on its way to tier 2 is in the list already.
    const bool listed = std::any_of(entries.begin(), entries.end(), [&](const gate::Entry& entry) { return entry.path == held.path; });
    if (listed) {
      --count;
      continue;
    }
    nlohmann::json each = PathToJson(held.path);
    each["reason"] = held.reason;
    list["held"].push_back(std::move(each));
  }
  list["held_count"] = count;
  return list;
}

void List(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto entries = gate::GateFile(*config).Read();
  if (!entries) return Refuse(entries.error(), kUsage, outcome);
  const nlohmann::json list = Listed(*config, *entries);
  if (request.json) return PrintJson(list);
  const auto shown = [](const nlohmann::json& each) { return Quoted(each["path"].get<std::string>()); };
  for (const auto& each : list["paths"]) {
    std::cout << shown(each) << ": " << Printable(each["reason"].get<std::string>()) << "; "
              << (each["tier"].is_null() ? "gone" : "in tier " + each["tier"].dump()) << "\n";
  }
  for (const auto& each : list["held"]) {
    std::cout << shown(each) << ": not committed: " << Printable(each["reason"].get<std::string>()) << "\n";
  }
  const std::uint64_t held = list["held_count"];
  if (held > list["held"].size()) std::cout << "and " << held - list["held"].size() << " more that are not committed\n";
  if (!list["mounted"].get<bool>()) std::cout << "not mounted: what is held back besides is not known\n";
  const std::size_t count = list["paths"].size() + held;
  if (count == 0) {
    std::cout << config->name << ": the gate keeps nothing back\n";
  } else {
    PrintCures(*config, count == 1 ? (list["paths"].empty() ? list["held"] : list["paths"])[0]["path"].get<std::string>() : "");
  }
}

// --- release

// Removes the rules for the paths and what is beneath, or for exactly these paths. Returns the
// paths that had one.
tl::expected<std::vector<std::string>, std::string> Release(const Config& config, const std::vector<std::string>& paths, bool beneath,
                                                            bool dry_run) {
  std::vector<std::string> released;
  const gate::GateFile file(config);
  const auto present = file.Read();
  if (!present) return tl::unexpected(present.error());
  for (const std::string& path : paths) {
    if (dry_run) {
      for (const gate::Entry& entry : *present) {
        if (entry.path == path || (beneath && (path.empty() || entry.path.starts_with(path + "/")))) released.push_back(entry.path);
      }
      continue;
    }
    auto removed = file.Remove(path, beneath);
    if (!removed) return removed;
    released.insert(released.end(), removed->begin(), removed->end());
  }
  return released;
}

void PrintReleased(const Config& config, const std::vector<std::string>& released, bool dry_run) {
  const auto policy = LoadPolicy(config);
  bool back = false;
  for (const std::string& path : released) {
    std::cout << (dry_run ? "would release " : "released ") << Quoted(path);
    const int tier = policy.policy && !dry_run ? NumberOf(policy.policy->DecisionFor(path, false).tier) : 0;
    if (tier != 0) std::cout << ": it belongs to tier " << tier << " now";
    back = back || tier == 1;
    std::cout << "\n";
  }
  if (back) {
    std::cout << "In tier 1 it is looked at again: without 'tierctl gate allow " << config.name
              << " PATH' or a changed content it comes back to tier 2.\n";
  }
}

nlohmann::json PathsToJson(const std::vector<std::string>& paths) {
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& path : paths) all.push_back(PathToJson(path));
  return all;
}

void RunRelease(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  std::vector<std::string> paths;
  for (const std::string& given : request.paths) {
    auto path = GivenPath(*config, given);
    if (!path) return Refuse(path.error(), kUsage, outcome);
    paths.push_back(std::move(*path));
  }
  if (const auto read = gate::GateFile(*config).Read(); !read) return Refuse(read.error(), kUsage, outcome);
  const auto released = Release(*config, paths, true, request.dry_run);
  if (!released) return Refuse(released.error(), kCannot, outcome);
  tl::expected<std::string, std::string> next = "";
  if (!released->empty() && !request.dry_run) next = Apply(*config, *released);
  if (request.json) {
    PrintJson({{"released", PathsToJson(*released)}, {"dry_run", request.dry_run}, {"next", next ? *next : ""}});
  } else {
    PrintReleased(*config, *released, request.dry_run);
    if (next && !next->empty()) std::cout << *next << "\n";
  }
  for (const std::string& path : paths) {
    const bool had = std::any_of(released->begin(), released->end(),
                                 [&](const std::string& each) { return path.empty() || each == path || each.starts_with(path + "/"); });
    if (!had) Refuse("the gate has no rule for " + Quoted(path), kFindings, outcome);
  }
  if (!next) Refuse("the rules are changed, but the mount does not go by them yet: " + next.error(), kCannot, outcome);
}

// --- allow

// The line for the allow file. The error is one line.
tl::expected<std::string, std::string> AllowLine(const Config& config, const Request& request, const std::string& path) {
  if (request.by_path) return gate::AllowPath(path);
  if (!request.rule.empty()) return gate::AllowRule(request.rule, path);
  const auto present = Present(config, path);
  if (!present) return tl::unexpected(present.error());
  if (present->oversize) return tl::unexpected(Quoted(path) + " is larger than gate.max_file; --path allows it whatever it holds");
  return gate::AllowContent(present->content, path);
}

// Whether what the request names is there. The error is one line.
tl::expected<std::string, std::string> CheckAllow(const Config& config, const Request& request) {
  auto path = GivenPath(config, request.paths.front());
  if (!path) return path;
  if (const auto read = gate::GateFile(config).Read(); !read) return tl::unexpected(read.error());
  const auto judge = gate::Judge::Open(config);
  if (!judge) return tl::unexpected(judge.error());
  if (!request.rule.empty() && !judge->HasRule(request.rule)) {
    return tl::unexpected("there is no rule " + Quoted(request.rule) + "; 'tierctl gate list " + config.name +
                          "' names those that found something");
  }
  return path;
}

// Names the rules that stay beneath a path that is allowed.
void PrintRulesBeneath(const Config& config, const std::string& path) {
  const auto entries = gate::GateFile(config).Read();
  if (!entries) return;
  const auto beneath = [&](const gate::Entry& entry) { return path.empty() || entry.path.starts_with(path + "/"); };
  const auto count = std::count_if(entries->begin(), entries->end(), beneath);
  if (count == 0) return;
  std::cout << "the gate's rules beneath it stay (" << count << "): tierctl gate release " << config.name << " " << ShellQuoted(path)
            << "\n";
}

// Returns why the path is still kept back with the allow file as it is; "" if it passes.
tl::expected<std::string, std::string> StillHeld(const Config& config, const std::string& path) {
  const auto judge = gate::Judge::Open(config);
  if (!judge) return tl::unexpected(judge.error());
  const auto present = Present(config, path);
  if (!present) return "";
  return judge->Of({path, present->content, present->item.attributes.xattrs, present->oversize}).Reason();
}

void Allow(const Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  const auto checked = CheckAllow(*config, request);
  if (!checked) return Refuse(checked.error(), kUsage, outcome);
  const std::string& path = *checked;
  const auto line = AllowLine(*config, request, path);
  if (!line) return Refuse(line.error(), kCannot, outcome);
  if (!request.dry_run) {
    if (const auto added = gate::AddToAllowFile(*config, *line); !added) return Refuse(added.error(), kCannot, outcome);
  }
  if (!request.json) {
    std::cout << (request.dry_run ? "would add" : "added") << " to " << config->gate.allow << ":\n  " << Printable(*line) << "\n";
  }
  const auto held = request.dry_run ? tl::expected<std::string, std::string>("") : StillHeld(*config, path);
  if (!held) return Refuse(held.error(), kCannot, outcome);
  tl::expected<std::vector<std::string>, std::string> released;
  if (held->empty()) released = Release(*config, {path}, false, request.dry_run);
  if (!released) return Refuse(released.error(), kCannot, outcome);
  tl::expected<std::string, std::string> next = "";
  if (!request.dry_run) next = Apply(*config, {path});
  if (request.json) {
    PrintJson({{"file", config->gate.allow},
               {"line", *line},
               {"released", PathsToJson(*released)},
               {"still_held", *held},
               {"dry_run", request.dry_run},
               {"next", next ? *next : ""}});
  } else {
    for (const std::string& each : *released) std::cout << (request.dry_run ? "would release " : "released ") << Quoted(each) << "\n";
    PrintRulesBeneath(*config, path);
    if (next && !next->empty()) std::cout << *next << "\n";
  }
  if (!held->empty()) Refuse("it is still kept back: " + *held + "; --path allows the path whatever it holds", kFindings, outcome);
  if (!next) Refuse("the files are changed, but the mount does not go by them yet: " + next.error(), kCannot, outcome);
}

Verb AddSub(Verb group, const char* name, const char* what, const std::shared_ptr<Request>& request) {
  const Verb verb = group.AddVerb(name, what);
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddFlag("--json", request->json, "for programs");
  return verb;
}

}  // namespace

int TierWith(const Config& config, const std::string& path) {
  for (int tier = 1; tier <= kTierCount; ++tier) {
    const auto root = OpenDirectory(config.tiers[static_cast<std::size_t>(tier - 1)], O_PATH);
    if (!root) continue;
    const auto found = OpenBeneath(root->get(), path, O_PATH | O_NOFOLLOW);
    if (!found) continue;
    const auto st = StatFd(found->get());
    if (st && !(S_ISCHR(st->st_mode) && st->st_rdev == 0)) return tier;
  }
  return 0;
}

tl::expected<std::string, std::string> GivenPath(const Config& config, const std::string& given) {
  std::string path = PathOnMount(config, given);
  if (path == ".." || path.starts_with("../")) return tl::unexpected(Quoted(given) + " is not in the mount");
  return path;
}

std::string PathOnMount(const Config& config, const std::string& given) {
  std::string path = std::filesystem::path(given).lexically_normal().string();
  const std::string mountpoint = MountpointOf(config);
  if (!mountpoint.empty() && (path == mountpoint || path.starts_with(mountpoint + "/"))) path.erase(0, mountpoint.size());
  path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
  while (path.ends_with('/')) path.pop_back();
  return path == "." ? "" : path;
}

std::optional<std::string> GateReason(const Config& config, const std::string& rule, const std::string& path) {
  if (!rule.starts_with(config.GateRules() + ":")) return std::nullopt;
  std::string reason = "not known";
  const auto entries = gate::GateFile(config).Read();
  if (!entries) return reason;
  for (const gate::Entry& entry : *entries) {
    if (!entry.reason.empty() && (path == entry.path || path.starts_with(entry.path + "/"))) reason = entry.reason;
  }
  return reason;
}

std::string GateCure(const Config& config, const std::string& path) {
  return "to undo it: tierctl gate allow|release " + config.name + " " + ShellQuoted(path);
}

void PrintCures(const Config& config, const std::string& path) {
  const std::string end = config.name + " " + (path.empty() ? "PATH" : ShellQuoted(path)) + "\n";
  std::cout << "What can be done:\n"
            << "  keep it in tier 2   nothing to do; for a whole directory, '2 /DIRECTORY/' in the policy\n"
            << "  it is no secret     tierctl gate allow " << end  //
            << "  it was taken out    change the content, then tierctl gate release " << end;
}

nlohmann::json VerdictToJson(const gate::Verdict& verdict) {
  nlohmann::json json = {{"reason", verdict.Reason()}, {"binary", verdict.binary}, {"oversize", verdict.oversize}};
  json["findings"] = nlohmann::json::array();
  for (const gate::Finding& finding : verdict.findings) {
    json["findings"].push_back(
        {{"rule", finding.rule}, {"description", finding.description}, {"line", finding.line}, {"place", finding.place}});
  }
  return json;
}

void AddGate(Verb app, Outcome& outcome) {
  const Verb group = app.AddVerb("gate", "What is kept out of the history of tier 1: credentials, binaries, large files");
  group.NeedsVerb();
  group.Footer(
      "A file of tier 1 in which the gate finds something is moved to tier 2 before it is committed (gate.on_finding). A rule in\n"
      "STATE/gate.tiers says so, with the reason, until it is released. Nothing that was found is shown, unless a path holds it.\n"
      "Exit codes: 0 nothing is found, or it is done; 1 findings; 2 wrong usage or a file with errors; 3 it could not be done.");
  auto request = std::make_shared<Request>();

  const Verb list = AddSub(group, "list", "The paths that the gate keeps in tier 2, or does not commit, and why", request);
  list.OnRun([request, &outcome] { List(*request, outcome); });

  AddGateScan(group, outcome);

  const Verb allow = AddSub(group, "allow", "Lets a path pass: by the content that it has now, by its name, or for one rule", request);
  allow.AddOption("PATH", request->paths, "relative to the mount").Required().Values(1, 1);
  const Option by_content = allow.AddFlag("--content", request->by_content, "exactly the present content, anywhere; this is the default");
  const Option by_path = allow.AddFlag("--path", request->by_path, "this path, whatever it holds");
  const Option by_rule = allow.AddOption("--rule", request->rule, "this path, for what this rule finds");
  by_content.Excludes(by_path).Excludes(by_rule);
  by_path.Excludes(by_rule);
  allow.AddFlag("-n,--dry-run", request->dry_run, "only say what would be done");
  allow.Footer("Adds a line to gate.allow (NAME.allow beside the config) and releases the path.");
  allow.OnRun([request, &outcome] { Allow(*request, outcome); });

  const Verb release = AddSub(group, "release", "Removes the gate's rule for a path, or for all beneath it", request);
  release.AddOption("PATH", request->paths, "relative to the mount").Required();
  release.AddFlag("-n,--dry-run", request->dry_run, "only say what would be done");
  release.Footer("The file goes back to the tier that the policy says. In tier 1 it is looked at again.");
  release.OnRun([request, &outcome] { RunRelease(*request, outcome); });

  AddGateTest(group, outcome);
}

}  // namespace tierfs::tools
