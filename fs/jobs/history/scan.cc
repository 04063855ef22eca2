#include "fs/jobs/history/scan.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace tierfs::history {
namespace {

constexpr std::size_t kId = 40;       // digits of an object id
constexpr std::size_t kShortId = 12;  // those that are shown

// Where one object is met: each path, with the first commit that has it there.
using Places = std::map<std::string, std::string>;
using Objects = std::map<std::string, Places>;  // by id

std::string_view TakeUntil(std::string_view& text, char end) {
  const std::string_view part = text.substr(0, text.find(end));
  text.remove_prefix(std::min(text.size(), part.size() + 1));
  return part;
}

// Reads the output of `git diff-tree --stdin -z`: "ID\0" for a commit, then for each change
// ":MODE MODE OLD NEW STATUS\0PATH\0".
class Changes {
 public:
  // Stands for what is no file.
  static constexpr const char* kNone = "none";

  explicit Changes(Objects& objects) : objects_(objects) {}

  void Take(std::string_view bytes) {
    pending_ += bytes;
    std::string_view rest = pending_;
    for (std::size_t end = rest.find('\0'); end != std::string_view::npos; end = rest.find('\0')) {
      Word(rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
    pending_.erase(0, pending_.size() - rest.size());
  }

 private:
  void Word(std::string_view word) {
    if (!id_.empty()) {
      objects_[id_].try_emplace(std::string(word), commit_);
      id_.clear();
    } else if (!word.starts_with(':')) {
      commit_ = word.substr(0, kShortId);
    } else {
      (void)TakeUntil(word, ' ');
      const std::string_view mode = TakeUntil(word, ' ');
      (void)TakeUntil(word, ' ');
      id_ = TakeUntil(word, ' ');
      // A removed file or a submodule has a path, but no object here.
      if (mode == "000000" || mode == "160000") id_ = kNone;
    }
  }

  Objects& objects_;
  std::string pending_;
  std::string commit_;
  std::string id_;  // the object whose path comes next
};

// Adds each file with each of its paths.
Outcome<void> AddFiles(const Repository& repository, const std::string& commits, Objects& objects) {
  Changes changes(objects);
  // Against each parent of a merge, and against nothing for a first commit.
  Command command = repository.GitCommand({"diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--no-renames"});
  command.input = commits;
  command.raw_output = [&](std::string_view bytes) { changes.Take(bytes); };
  std::string complaint;
  command.error = [&](const std::string& line) {
    if (complaint.empty()) complaint = line;
  };
  const auto code = RunProcess(command);
  if (!code || *code != 0) return tl::unexpected("the commits of " + repository.directory() + " cannot be read: " + complaint);
  objects.erase(Changes::kNone);
  return {};
}

// Adds what no commit's change names: commits and tags themselves, and files that a tag holds.
Outcome<void> AddOthers(const Repository& repository, const std::string& revisions, Objects& objects) {
  TIERFS_ASSIGN(const std::string listing, repository.Run({"rev-list", "--objects", "--no-object-names", revisions, "--"}));
  TIERFS_ASSIGN(const std::string kinds, repository.Run({"cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer"}, listing));
  for (std::string_view rest = kinds; !rest.empty();) {
    const std::string_view line = TakeUntil(rest, '\n');
    const std::string id(line.substr(0, kId));
    if (line.ends_with(" commit")) {
      objects[id].try_emplace(kMessagePath, id.substr(0, kShortId));
    } else if (line.ends_with(" tag")) {
      objects[id].try_emplace(kMessagePath, "");
    } else if (line.ends_with(" blob") && !objects.contains(id)) {
      objects[id].try_emplace(id, "");  // it has no path
    }
  }
  return {};
}

}  // namespace

Outcome<std::vector<HistoryFinding>> ScanHistory(const Repository& repository, const std::string& revisions, const gate::Judge& judge,
                                                 std::uint64_t max_file, const ScanProgress& progress) {
  Objects objects;
  TIERFS_ASSIGN(const std::string commits, repository.Run({"rev-list", "--reverse", "--topo-order", revisions, "--"}));
  TIERFS_TRY(AddFiles(repository, commits, objects));
  TIERFS_TRY(AddOthers(repository, revisions, objects));
  std::vector<std::string> ids;
  for (const auto& [id, places] : objects) ids.push_back(id);
  std::vector<HistoryFinding> findings;
  const std::map<std::string, std::string> no_xattrs;
  TIERFS_TRY(repository.ReadBlobs(ids, [&](std::size_t at, const std::string& content) -> Outcome<void> {
    progress(at, ids.size());
    const bool oversize = content.size() > max_file;
    for (const auto& [path, commit] : objects[ids[at]]) {
      gate::Verdict verdict = judge.Of({path, oversize ? std::string_view() : std::string_view(content), no_xattrs, oversize});
      if (!verdict.Passes()) findings.push_back({path, std::move(verdict), commit});
    }
    return {};
  }));
  std::sort(findings.begin(), findings.end(), [](const HistoryFinding& a, const HistoryFinding& b) { return a.path < b.path; });
  return findings;
}

}  // namespace tierfs::history
