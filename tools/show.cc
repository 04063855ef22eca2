// tierctl show and diff: what a commit changed, and what differs between two states of tier 1.
#include <fcntl.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>

#include "fs/jobs/clone/space.h"
#include "fs/os/entries.h"
#include "fs/os/paths.h"
#include "tools/history.h"
#include "tools/output.h"
#include "tools/signals.h"

namespace tierfs::tools {
namespace {

namespace fs = std::filesystem;
using history::Outcome;

struct Request {
  std::string mount;
  std::vector<std::string> what;  // revisions, then paths
  bool exit_code = false;
  bool json = false;
};

// A private repository in memory that borrows the objects of another. Holds what is not committed,
// which the gate has not seen: nothing may be printed while there is one, since a reader that
// leaves ends this process. The destructor removes it; after a kill the next one does.
class Scratch {
 public:
  [[nodiscard]] static Outcome<std::unique_ptr<Scratch>> Make(const history::Repository& from) {
    std::error_code problem;
    auto scratch = std::make_unique<Scratch>();
    TIERFS_TRY(scratch->directory_.Make(fs::is_directory("/dev/shm", problem) ? "/dev/shm" : fs::temp_directory_path(problem).string()));
    scratch->repository_.emplace(scratch->directory_.path() + "/present.git");
    TIERFS_TRY(scratch->repository_->Create());
    std::ofstream(scratch->repository_->directory() + "/objects/info/alternates") << from.directory() << "/objects\n";
    return scratch;
  }
  [[nodiscard]] const history::Repository& repository() const { return *repository_; }

 private:
  const SignalsHeld held_;
  clone::SpaceDirectory directory_;
  std::optional<history::Repository> repository_;
};

// Two states, as commits of one repository. `before` is empty if there is no commit before.
struct Pair {
  std::unique_ptr<Scratch> scratch;
  std::string before;
  std::string after;
  history::Items before_items;
  history::Items after_items;
};

constexpr const char* kEmptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

Outcome<history::Items> ItemsOf(const history::Repository& repository, const std::string& commit) {
  if (commit.empty()) return history::Items{};
  return repository.Read(commit);
}

Outcome<Pair> PairOf(const history::Repository& repository, const std::string& before, const std::string& after) {
  Pair pair;
  pair.before = before;
  pair.after = after;
  TIERFS_ASSIGN(pair.before_items, ItemsOf(repository, before));
  TIERFS_ASSIGN(pair.after_items, ItemsOf(repository, after));
  return pair;
}

// A commit, and tier 1 as it is now.
Outcome<Pair> PairWithPresent(const History& history, const std::string& before) {
  Pair pair;
  pair.before = before;
  TIERFS_ASSIGN(pair.before_items, ItemsOf(history.repository, before));
  const std::string& tier = history.config.tiers[0];
  const auto tree = OpenDirectory(tier, O_RDONLY);
  if (!tree) return tl::unexpected(tier + " cannot be read: " + std::strerror(tree.error().code));
  TIERFS_ASSIGN(history::Present present, history::ReadPresent(tree->get(), pair.before_items));
  pair.after_items = std::move(present.items);
  if (pair.after_items == pair.before_items) {
    pair.after = before;
    return pair;
  }
  TIERFS_ASSIGN(pair.scratch, Scratch::Make(history.repository));
  const history::Repository& scratch = pair.scratch->repository();
  if (!before.empty()) TIERFS_TRY(scratch.Run({"update-ref", history::Repository::kRef, before}));
  TIERFS_ASSIGN(const auto ids, scratch.Append(before, {present.commit}));
  pair.after = ids.front();
  return pair;
}

std::vector<history::Difference> DifferencesOf(const Pair& pair, const std::vector<std::string>& paths) {
  auto differences = history::Compare(pair.before_items, pair.after_items);
  if (paths.empty()) return differences;
  std::erase_if(differences, [&](const history::Difference& each) {
    return std::none_of(paths.begin(), paths.end(), [&](const std::string& path) { return history::IsAtOrBeneath(each.path, path); });
  });
  return differences;
}

// The attributes in lines, then the content as git shows it.
Outcome<std::string> Render(const history::Repository& repository, const Pair& pair, const std::vector<std::string>& paths) {
  std::string text = AttributeLines(DifferencesOf(pair, paths));
  std::vector<std::string> arguments = {"diff",
                                        Coloured() ? "--color=always" : "--color=never",
                                        "--no-ext-diff",
                                        "--no-textconv",
                                        pair.before.empty() ? kEmptyTree : pair.before,
                                        pair.after,
                                        "--"};
  for (const std::string& path : paths) arguments.push_back(":(top,literal)" + path);
  arguments.push_back(std::string(":(top,exclude,literal)") + history::kMetaDirectory);
  if (pair.before == pair.after) return text;
  TIERFS_ASSIGN(const std::string content, (pair.scratch ? pair.scratch->repository() : repository).Run(arguments));
  return text + (text.empty() || content.empty() ? "" : "\n") + content;
}

nlohmann::json ToJson(const std::vector<history::Difference>& differences) {
  nlohmann::json list = nlohmann::json::array();
  for (const history::Difference& each : differences) {
    list.push_back({{"path", each.path.empty() ? "." : each.path}, {"what", std::string(1, each.what)}, {"attributes", each.attributes}});
  }
  return list;
}

// The revisions and the paths of a command line. A word is a revision if git knows it as one.
struct Words {
  std::vector<std::string> revisions;
  std::vector<std::string> paths;
};
tl::expected<Words, std::string> Sort(const History& history, const std::vector<std::string>& what) {
  Words words;
  for (const std::string& word : what) {
    const bool may_be = words.paths.empty() && words.revisions.size() < 2 && !word.starts_with("/") && !word.starts_with("./");
    if (auto id = may_be ? history.repository.Resolve(word) : tl::unexpected(std::string()); id) {
      words.revisions.push_back(*id);
      continue;
    }
    if (word.find("@{") != std::string::npos && may_be) return tl::unexpected("there is no revision " + Quoted(word));
    auto path = PathInMount(history, word);
    if (!path) return tl::unexpected(path.error());
    if (!path->empty()) words.paths.push_back(std::move(*path));
  }
  return words;
}

// A path that neither state has is more likely a mistake than an answer.
tl::expected<void, std::string> CheckPaths(const Pair& pair, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (!pair.before_items.contains(path) && !pair.after_items.contains(path)) {
      return tl::unexpected("neither a revision, nor a path of tier 1 in what is compared: " + Quoted(path));
    }
  }
  return {};
}

Outcome<Pair> PairFor(const History& history, const Words& words) {
  if (words.revisions.size() == 2) return PairOf(history.repository, words.revisions[0], words.revisions[1]);
  if (words.revisions.size() == 1) return PairWithPresent(history, words.revisions[0]);
  TIERFS_ASSIGN(const auto head, history.repository.Head());
  return PairWithPresent(history, head ? head->id : "");
}

void Diff(const Request& request, tools::Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const auto words = Sort(*history, request.what);
  if (!words) {
    std::cerr << ErrorLine(history->config, words.error()) << "\n";
    outcome.code = kUsage;
    return;
  }
  auto pair = PairFor(*history, *words);
  if (!pair) return CannotDo(history->config, pair.error(), outcome);
  if (const auto known = CheckPaths(*pair, words->paths); !known) {
    pair->scratch.reset();
    std::cerr << ErrorLine(history->config, known.error()) << "\n";
    outcome.code = kUsage;
    return;
  }
  const auto differences = DifferencesOf(*pair, words->paths);
  const auto text = request.json ? Outcome<std::string>("") : Render(history->repository, *pair, words->paths);
  pair->scratch.reset();
  if (request.exit_code && !differences.empty()) outcome.code = kFindings;
  if (request.json) return PrintJson({{"changes", ToJson(differences)}});
  if (!text) return CannotDo(history->config, text.error(), outcome);
  Page(history->repository, *text);
}

void Show(const Request& request, tools::Outcome& outcome) {
  const auto history = HistoryOf(request.mount, outcome);
  if (!history) return;
  const history::Repository& repository = history->repository;
  const auto id = repository.Resolve(request.what.empty() ? "HEAD" : request.what[0]);
  if (!id) return CannotDo(history->config, id.error(), outcome);
  const auto parents = repository.Run({"rev-list", "-1", "--parents", *id, "--"});
  if (!parents) return CannotDo(history->config, parents.error(), outcome);
  const auto pair = PairOf(repository, parents->size() > 81 ? parents->substr(41, 40) : "", *id);
  if (!pair) return CannotDo(history->config, pair.error(), outcome);
  if (request.json) return PrintJson({{"id", *id}, {"changes", ToJson(DifferencesOf(*pair, {}))}});
  const auto header = repository.Run({"show", "--no-patch", "--date=local", Coloured() ? "--color=always" : "--color=never", *id, "--"});
  if (!header) return CannotDo(history->config, header.error(), outcome);
  const auto text = Render(repository, *pair, {});
  if (!text) return CannotDo(history->config, text.error(), outcome);
  Page(repository, *header + "\n" + *text);
}

}  // namespace

void AddShow(Verb app, tools::Outcome& outcome) {
  const Verb verb = app.AddVerb("show", "What a commit of tier 1 changed: owners, modes and other attributes in lines, content as a diff");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("REV", request->what, "a commit, as git names it, or a time: '@{yesterday}' (the newest)").Values(0, 1);
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Show(*request, outcome); });
}

void AddDiff(Verb app, tools::Outcome& outcome) {
  const Verb verb = app.AddVerb("diff", "What differs between two revisions of tier 1, or between one and tier 1 as it is now");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("WHAT", request->what, "[REV [REV]] [PATH...]");
  verb.AddFlag("--exit-code", request->exit_code, "exit code 1 if anything differs");
  verb.AddFlag("--json", request->json, "for programs");
  verb.Footer(
      "Without a revision: what is not committed yet. A path is relative to the mount, or absolute; one that is also the name of\n"
      "a revision is written with \"./\" before it. What is not committed is compared in memory; nothing of it is stored.");
  verb.OnRun([request, &outcome] { Diff(*request, outcome); });
}

}  // namespace tierfs::tools
