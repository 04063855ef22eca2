// tierctl log: lists the commits of tier 1.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <iostream>
#include <set>

#include "fs/jobs/history/mtree.h"
#include "fs/os/paths.h"
#include "tools/history.h"
#include "tools/output.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string mount;
  std::string path;
  std::size_t most = 0;
  bool json = false;
};

constexpr const char* kRef = history::Repository::kRef;
constexpr char kRecord = '\x1e';
constexpr char kField = '\x1f';
constexpr const char* kEach =
    "--format=%x1e%H%x1f%ct%x1f%an%x1f%(trailers:key=Process,valueonly,separator=%x2C)%x1f"
    "%(trailers:key=Unit,valueonly,separator=%x2C)%x1f%s%x1f%B%x1f";
constexpr const char* kLine =
    "%C(yellow)%h%C(reset) %C(green)%cd%C(reset) %C(blue)%an%C(reset)"
    "%C(cyan)% (trailers:key=Process,valueonly,separator=%x2C)%C(reset)  %s";

// The beginning of a path's line in the metadata, as a regular expression.
std::string MetaPattern(const std::string& path) {
  history::Items items;
  history::Item item;
  item.attributes.mode = S_IFDIR;
  items[path] = item;
  std::string line = history::RenderMeta(items);
  line = line.substr(line.find('\n') + 1);
  line.resize(line.find(' '));
  std::string pattern = "^";
  for (const char c : line) pattern += std::isalnum(static_cast<unsigned char>(c)) != 0 ? std::string(1, c) : "[" + std::string(1, c) + "]";
  // A backslash stands for itself in a bracket.
  return pattern + "(/[^ ]*)? ";
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t stop = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, stop - start));
    start = stop + 1;
  }
  return lines;
}

// The commits that changed the path or its attributes, newest first.
history::Outcome<std::vector<std::string>> CommitsOf(const History& history, const std::string& path) {
  TIERFS_ASSIGN(const std::string all, history.repository.Run({"rev-list", kRef, "--"}));
  if (path.empty()) return Lines(all);
  TIERFS_ASSIGN(const std::string content, history.repository.Run({"rev-list", kRef, "--", ":(top,literal)" + path}));
  TIERFS_ASSIGN(const std::string attributes,
                history.repository.Run({"log", "--format=%H", "-G" + MetaPattern(path), kRef, "--", history::kMetaPath}));
  std::set<std::string> wanted;
  for (const std::string* list : {&content, &attributes}) {
    for (std::string& id : Lines(*list)) wanted.insert(std::move(id));
  }
  std::vector<std::string> ids;
  for (std::string& id : Lines(all)) {
    if (wanted.contains(id)) ids.push_back(std::move(id));
  }
  return ids;
}

// The paths of a commit: those that git lists, and those of which only the attributes changed.
nlohmann::json PathsOf(const std::string& body, const std::string& names) {
  std::set<std::string> paths;
  for (std::size_t start = 0; start < names.size();) {
    const std::size_t stop = std::min(names.find('\0', start), names.size());
    std::string name = names.substr(start, stop - start);
    if (name.starts_with("\n")) name.erase(0, 1);
    if (!name.empty() && name != history::kMetaPath) paths.insert(name);
    start = stop + 1;
  }
  for (const std::string& line : Lines(body)) {
    if (line.starts_with("m ")) paths.insert(line.substr(2));
  }
  return paths;
}

nlohmann::json ToJson(const std::string& log) {
  nlohmann::json commits = nlohmann::json::array();
  for (std::size_t start = log.find(kRecord); start != std::string::npos;) {
    const std::size_t next = log.find(kRecord, start + 1);
    std::string record = log.substr(start + 1, next == std::string::npos ? next : next - start - 1);
    start = next;
    std::vector<std::string> fields;
    for (std::size_t at = 0; fields.size() < 7; at = record.find(kField, at) + 1) {
      const std::size_t stop = record.find(kField, at);
      if (stop == std::string::npos) break;
      fields.push_back(record.substr(at, stop - at));
    }
    if (fields.size() < 7) continue;
    std::int64_t time = 0;
    std::from_chars(fields[1].data(), fields[1].data() + fields[1].size(), time);
    commits.push_back({{"id", fields[0]},
                       {"time", time},
                       {"author", fields[2]},
                       {"program", fields[3]},
                       {"unit", fields[4]},
                       {"subject", fields[5]},
                       {"paths", PathsOf(fields[6], record.substr(record.rfind(kField) + 1))}});
  }
  return commits;
}

void Log(const Request& request, Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const auto path = PathInMount(*history, request.path);
  if (!path) {
    std::cerr << ErrorLine(history->config, path.error()) << "\n";
    outcome.code = kUsage;
    return;
  }
  const auto head = history->repository.Head();
  if (!head) return CannotDo(history->config, head.error(), outcome);
  if (!*head) {
    if (request.json) return PrintJson({{"commits", nlohmann::json::array()}});
    std::cout << "no commit yet\n";
    return;
  }
  std::string input;  // the ids, which may be too many for arguments
  if (!path->empty()) {
    auto ids = CommitsOf(*history, *path);
    if (!ids) return CannotDo(history->config, ids.error(), outcome);
    if (ids->empty()) return CannotDo(history->config, "no commit changed " + Quoted(*path), outcome);
    if (request.most != 0) ids->resize(std::min(ids->size(), request.most));
    for (const std::string& id : *ids) input += id + "\n";
  }
  std::vector<std::string> arguments = {"log", "--date=format-local:%Y-%m-%d %H:%M:%S"};
  if (!path->empty()) arguments.emplace_back("--no-walk=unsorted");
  if (request.most != 0) arguments.push_back("--max-count=" + std::to_string(request.most));
  if (request.json) arguments.insert(arguments.end(), {"--name-only", "-z", "--no-renames", kEach});
  if (!request.json) {
    arguments.insert(arguments.end(), {std::string("--format=") + kLine, Coloured() ? "--color=always" : "--color=never"});
  }
  arguments.insert(arguments.end(), {path->empty() ? kRef : "--stdin", "--"});
  if (!request.json) return CannotDo(history->config, BecomeGit(history->repository, arguments, input), outcome);
  const auto log = history->repository.Run(arguments, input);
  if (!log) return CannotDo(history->config, log.error(), outcome);
  PrintJson({{"commits", ToJson(*log)}});
}

}  // namespace

void AddLog(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("log", "The commits of tier 1, newest first: when, by whom, by which program, what");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("PATH", request->path, "only what changed this path, its attributes, or anything beneath it");
  verb.AddOption("-c,--count", request->most, "at most this many commits");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer("On a terminal the list is shown in git's pager, in colour unless NO_COLOR is set.");
  verb.OnRun([request, &outcome] { Log(*request, outcome); });
}

}  // namespace tierfs::tools
