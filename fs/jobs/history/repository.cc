#include "fs/jobs/history/repository.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include "fs/jobs/history/import_stream.h"
#include "fs/jobs/history/mtree.h"
#include "fs/jobs/history/remote.h"
#include "fs/os/fault.h"
#include "fs/os/paths.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNoGit = "git is not installed: apt install git";
constexpr auto kStale = std::chrono::minutes(1);
// How long a git may take. One that hangs, on a dead disk for example, must not hold up the history
// for ever.
constexpr auto kShort = std::chrono::minutes(1);
constexpr auto kLong = std::chrono::minutes(10);
// Settings of a new repository, for those who run git in it themselves.
constexpr const char* kSettings =
    "[core]\n\tlogAllRefUpdates = always\n\tfsync = all\n"
    "[gc]\n\treflogExpire = never\n\treflogExpireUnreachable = never\n";

std::string Trouble(int code) { return std::strerror(code); }

// What git says on its standard error.
class Complaints {
 public:
  void Add(const std::string& line) {
    if (line.empty() || line.starts_with("hint:")) return;
    if (first_.empty()) first_ = line;
    if (problem_.empty() && !line.starts_with("warning:") && !line.starts_with("Warning:")) problem_ = line;
    if (fatal_.empty() && (line.starts_with("fatal: ") || line.starts_with("error: "))) fatal_ = line.substr(7);
  }
  [[nodiscard]] bool empty() const { return first_.empty(); }
  [[nodiscard]] const std::string& first() const { return first_; }
  // The line that says most: a fatal one, else the first.
  [[nodiscard]] std::string Text(int code) const { return Ended(fatal_.empty() ? first_ : fatal_, code); }
  // The same where other programs, such as ssh, complain before git does.
  [[nodiscard]] std::string Origin(int code) const {
    return Ended(problem_.starts_with("fatal: ") || problem_.starts_with("error: ") ? fatal_ : problem_, code);
  }

 private:
  static std::string Ended(std::string text, int code) {
    if (text.empty()) return "git ended with code " + std::to_string(code);
    while (!text.empty() && text.back() == '.') text.pop_back();
    return text;
  }

  std::string first_;
  std::string problem_;
  std::string fatal_;
};

struct Answer {
  int code = 0;
  std::string output;
  Complaints complaints;
};

// Runs git to its end, or for as long as the patience lasts (0: without end). An exit code other
// than 0 is the caller's to judge.
Outcome<Answer> RunGit(Command command, std::chrono::milliseconds patience) {
  Answer answer;
  command.patience = patience;
  if (!command.raw_output) command.raw_output = [&](std::string_view bytes) { answer.output += bytes; };
  command.error = [&](const std::string& line) { answer.complaints.Add(line); };
  const auto code = RunProcess(command);
  if (!code && code.error().code == ENOENT) return tl::unexpected(std::string(kNoGit));
  if (!code && code.error().code == ETIME) {
    const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(patience).count();
    return tl::unexpected("git did not end within " + std::to_string(minutes) + (minutes == 1 ? " minute" : " minutes"));
  }
  if (!code) return tl::unexpected("git cannot be run: " + std::string(code.error().step) + ": " + Trouble(code.error().code));
  answer.code = *code;
  return answer;
}

// The names in a directory; none if it cannot be read. A failing disk throws nothing.
std::vector<std::string> NamesIn(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code problem;
  for (fs::directory_iterator each(directory, problem), end; !problem && each != end; each.increment(problem))
    names.push_back(each->path().filename());
  return names;
}

// The ids of files and symlinks in the output of `ls-tree -r -z`.
Outcome<Items> ParseTree(const std::string& listing) {
  Items items;
  for (std::size_t start = 0; start < listing.size();) {
    const std::size_t stop = std::min(listing.find('\0', start), listing.size());
    const std::string_view entry = std::string_view(listing).substr(start, stop - start);
    start = stop + 1;
    const std::size_t tab = entry.find('\t');  // MODE TYPE ID\tPATH
    if (tab == std::string_view::npos || tab < 52) return tl::unexpected(std::string("git's listing of a tree is not understood"));
    unsigned mode = 0;
    std::from_chars(entry.data(), entry.data() + tab, mode, 8);
    if (!S_ISREG(mode) && !S_ISLNK(mode)) continue;  // a submodule
    items[std::string(entry.substr(tab + 1))] = Item{DefaultAttributes(mode), std::string(entry.substr(tab - 40, 40))};
  }
  return items;
}

// A tree made by hand can hold names that no file has.
bool IsSafe(const std::string& path) {
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view name = std::string_view(path).substr(start, slash - start);
    if (name.empty() || name == "." || name == "..") return false;
    start = slash + 1;
  }
  return true;
}

// Splits the output of `cat-file --batch`: "ID TYPE SIZE\n", the content, "\n".
class BlobReader {
 public:
  using Visit = std::function<Outcome<void>(std::size_t at, std::string content)>;
  explicit BlobReader(const Visit& visit) : visit_(visit) {}

  Outcome<void> Take(std::string_view bytes) {
    while (!bytes.empty()) {
      if (left_) {
        const std::size_t part = std::min(*left_ + 1 - pending_.size(), bytes.size());
        pending_ += bytes.substr(0, part);
        bytes.remove_prefix(part);
        if (pending_.size() == *left_ + 1) TIERFS_TRY(End());
        continue;
      }
      const std::size_t end = bytes.find('\n');
      pending_ += bytes.substr(0, end);
      if (end == std::string_view::npos) break;
      bytes.remove_prefix(end + 1);
      TIERFS_TRY(Begin());
    }
    return {};
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  Outcome<void> Begin() {
    std::size_t size = 0;
    const std::size_t space = pending_.rfind(' ');
    const char* stop = pending_.data() + pending_.size();
    if (space == std::string::npos || std::from_chars(pending_.data() + space + 1, stop, size).ptr != stop) {
      return tl::unexpected("object " + pending_ + " in the repository: fetch it from the remote or from a backup");
    }
    pending_.clear();
    left_ = size;
    return {};
  }
  Outcome<void> End() {
    std::string content = std::move(pending_);
    content.pop_back();
    pending_.clear();
    left_.reset();
    return visit_(count_++, std::move(content));
  }

  const Visit& visit_;
  std::string pending_;
  std::optional<std::size_t> left_;
  std::size_t count_ = 0;
};

Outcome<void> SyncPath(const std::string& path) {
  const UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return tl::unexpected(path + " cannot be made durable: " + Trouble(errno));
  return {};
}

// git makes objects and refs durable, but not their names: a directory that changed is left to do.
// The objects come before the branch that needs them.
Outcome<void> SyncNames(const std::string& repository, timespec since) {
  const std::string objects = repository + "/objects";
  std::vector<std::string> changed;
  for (const std::string& name : NamesIn(objects)) {
    const std::string path = JoinPath(objects, name);
    struct stat st;
    if (::stat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) continue;
    if (st.st_mtim.tv_sec >= since.tv_sec) changed.push_back(path);
  }
  changed.push_back(objects);
  changed.push_back(repository + "/refs/heads");
  for (const std::string& each : changed) TIERFS_TRY(SyncPath(each));
  return {};
}

std::string PushedRef(const std::string& remote) { return "refs/tierfs/pushed/" + BlobId(remote).substr(0, 16); }

// The revision with the branch's name in full: "@{1}" is "refs/heads/main@{1}". The repository's
// own HEAD may be another branch.
std::string WithBranch(const std::string& revision) {
  if (revision.starts_with("@{")) return Repository::kRef + revision;
  for (const std::string_view alias : {"HEAD", "@", Repository::kBranch}) {
    if (!revision.starts_with(alias)) continue;
    const std::string rest = revision.substr(alias.size());
    if (rest.empty() || std::strchr("~^@", rest[0]) != nullptr) return Repository::kRef + rest;
  }
  return revision;
}

Outcome<void> CheckPaths(const std::vector<NewCommit>& commits) {
  const auto check = [](const std::string& path) -> Outcome<void> {
    const char* why = WhyGitCannotHold(path);
    if (why != nullptr) return tl::unexpected("git cannot hold " + Quoted(path) + ": it " + why);
    return {};
  };
  for (const NewCommit& commit : commits) {
    for (const std::string& path : commit.removed) TIERFS_TRY(check(path));
    for (const NewCommit::Change& change : commit.changed) TIERFS_TRY(check(change.path));
  }
  return {};
}

}  // namespace

Command Repository::GitCommand(const std::vector<std::string>& arguments) const {
  Command command;
  command.arguments = {"git", "--git-dir=" + directory_,
                       "-c",  "core.hooksPath=/dev/null",
                       "-c",  "safe.directory=*",
                       "-c",  "core.fsync=all",
                       "-c",  "core.logAllRefUpdates=always",
                       "-c",  "gc.reflogExpire=never",
                       "-c",  "gc.reflogExpireUnreachable=never",
                       "-c",  "gc.autoDetach=false"};
  command.cancelled = cancelled_;
  command.umask = 077;  // the daemon itself has none
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.environment = {"GIT_CONFIG_GLOBAL=/dev/null",
                         "GIT_CONFIG_NOSYSTEM=1",
                         "GIT_ATTR_NOSYSTEM=1",
                         "GIT_TERMINAL_PROMPT=0",
                         "LC_ALL=C",
                         "GIT_NO_LAZY_FETCH=1",
                         "GIT_COMMITTER_NAME=tierfs",
                         "GIT_AUTHOR_NAME=tierfs",
                         "GIT_COMMITTER_EMAIL=tierfs",
                         "GIT_AUTHOR_EMAIL=tierfs"};
  // What would lead git to other files.
  for (const char* name : {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
                           "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CONFIG", "GIT_CONFIG_COUNT", "GIT_CONFIG_PARAMETERS", "GIT_TRACE"}) {
    command.environment.emplace_back(name);
  }
  return command;
}

Outcome<std::string> Repository::Run(const std::vector<std::string>& arguments, const std::string& input) const {
  Command command = GitCommand(arguments);
  command.input = input;
  TIERFS_ASSIGN(Answer answer, RunGit(std::move(command), kLong));
  if (answer.code != 0) return tl::unexpected(answer.complaints.Text(answer.code));
  return std::move(answer.output);
}

Outcome<void> Repository::Create() const {
  std::error_code problem;
  if (fs::exists(directory_, problem) && (!fs::is_directory(directory_, problem) || !fs::is_empty(directory_, problem))) {
    return tl::unexpected(directory_ + " exists and is not empty: name another directory in 'version.repo', or remove it");
  }
  fs::create_directories(fs::path(directory_).parent_path(), problem);
  if (::mkdir(directory_.c_str(), 0700) != 0 && errno != EEXIST) return tl::unexpected("cannot make " + directory_ + ": " + Trouble(errno));
  if (::chmod(directory_.c_str(), 0700) != 0) return tl::unexpected("cannot change the mode of " + directory_ + ": " + Trouble(errno));
  TIERFS_TRY(Run({"init", "--quiet", "--bare", "--template=", "--shared=0600", "--object-format=sha1",
                  std::string("--initial-branch=") + kBranch, directory_}));
  const UniqueFd config(::open((directory_ + "/config").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  const std::string_view settings = kSettings;
  if (!config || ::write(config.get(), settings.data(), settings.size()) != static_cast<ssize_t>(settings.size()) ||
      ::fsync(config.get()) != 0) {
    return tl::unexpected("cannot write " + directory_ + "/config: " + Trouble(errno));
  }
  TIERFS_TRY(SyncPath(directory_));
  return SyncPath(fs::path(directory_).parent_path());
}

Outcome<void> Repository::Check() const {
  struct stat st;
  if (::stat(directory_.c_str(), &st) != 0) {
    return tl::unexpected("no repository at " + directory_ + ": " + (errno == ENOENT ? "'tierctl init' makes it" : Trouble(errno)));
  }
  TIERFS_ASSIGN(const Answer kind, RunGit(GitCommand({"rev-parse", "--is-bare-repository", "--show-object-format"}), kShort));
  if (kind.code != 0) {
    return tl::unexpected(directory_ + " is not a git repository (" + kind.complaints.Text(kind.code) +
                          "): restore it from the remote or a backup, or remove it and run 'tierctl init'");
  }
  if (!kind.output.starts_with("true")) {
    return tl::unexpected(directory_ +
                          " is not a bare repository: name another directory in 'version.repo' and take it over with --import-git");
  }
  if (kind.output.find("sha1") == std::string::npos) {
    return tl::unexpected(directory_ + " has object ids in another form than SHA-1: name another directory in 'version.repo'");
  }
  for (const char* part : {"", "/objects", "/refs/heads"}) {
    const std::string path = directory_ + part;
    if (::access(path.c_str(), W_OK) == 0) continue;
    return tl::unexpected(path + " cannot be written: " + Trouble(errno) + "; remount its disk for writing or correct its owner");
  }
  TIERFS_ASSIGN(const auto head, Head());
  if (!head) return {};
  TIERFS_ASSIGN(const Items items, Read(head->id));
  std::string ids;
  for (const auto& [path, item] : items) {
    if (!item.blob.empty()) ids += item.blob + "\n";
  }
  TIERFS_ASSIGN(const std::string found, Run({"cat-file", "--batch-check"}, ids));
  if (found.find(" missing\n") == std::string::npos) return {};
  return tl::unexpected("objects of the newest commit are missing in " + directory_ + ": restore it from the remote or a backup");
}

Outcome<std::optional<CommitInfo>> Repository::Head() const {
  const std::string format = "--format=%(objectname) %(committerdate:unix) %(contents:trailers:key=Tierfs-Token,valueonly)";
  TIERFS_ASSIGN(const Answer answer, RunGit(GitCommand({"for-each-ref", format, kRef}), kShort));
  // A branch that cannot be read is a warning to git. It must not pass for an empty repository.
  if (answer.code != 0 || (answer.output.empty() && !answer.complaints.empty())) {
    return tl::unexpected("the branch 'main' of " + directory_ + " cannot be read (" + answer.complaints.Text(answer.code) +
                          "): restore the repository from the remote or a backup");
  }
  if (answer.output.empty()) return std::nullopt;
  CommitInfo info;
  const char* end = answer.output.data() + answer.output.size();
  info.id = answer.output.substr(0, 40);
  const auto [stop, problem] = std::from_chars(answer.output.data() + 41, end, info.time);
  if (problem != std::errc()) return tl::unexpected("the branch 'main' of " + directory_ + " is not at a commit");
  info.token = std::string(stop + (stop < end ? 1 : 0), end);
  info.token.resize(std::min(info.token.find('\n'), info.token.size()));
  return info;
}

Outcome<std::string> Repository::Resolve(const std::string& revision) const {
  if (revision.empty() || revision.starts_with("-")) return tl::unexpected("'" + Quoted(revision) + "' is not a revision");
  const std::string name = WithBranch(revision);
  TIERFS_ASSIGN(const Answer answer, RunGit(GitCommand({"rev-parse", "--verify", name + "^{commit}"}), kShort));
  const bool time_on_branch = name.find("@{") != std::string::npos && name.find('}') != std::string::npos;
  if (answer.code == 0) {
    // The record of the branch is younger than the time: a history that was taken over.
    if (!time_on_branch || answer.complaints.first().find("only goes back to") == std::string::npos) return answer.output.substr(0, 40);
    return ResolveByCommitTime(revision, name);
  }
  TIERFS_ASSIGN(const auto head, Head());
  if (!head) return tl::unexpected(std::string("there is no commit yet"));
  // A repository that was copied has no record of the branch at all.
  if (time_on_branch && name.starts_with(kRef) && !Run({"reflog", "exists", kRef})) return ResolveByCommitTime(revision, name);
  return tl::unexpected("there is no revision " + Quoted(revision));
}

Outcome<std::string> Repository::ResolveByCommitTime(const std::string& revision, const std::string& name) const {
  const std::size_t open = name.find("@{");
  const std::size_t close = name.find('}', open);
  const std::string time = name.substr(open + 2, close - open - 2);
  // Elsewhere git takes anything for a time. A number counts changes, which nobody recorded.
  const bool number = time.find_first_not_of("0123456789-") == std::string::npos && time.find('-', 1) == std::string::npos;
  if (number || !Run({"-c", "tierfs.time=" + time, "config", "--type=expiry-date", "--get", "tierfs.time"}))
    return tl::unexpected("there is no revision " + Quoted(revision));
  TIERFS_ASSIGN(const std::string id, Run({"rev-list", "-1", "--before=" + time, name.substr(0, open), "--"}));
  if (id.size() < 40) return tl::unexpected("the history begins after " + Quoted(revision));
  TIERFS_ASSIGN(const std::string found, Run({"rev-parse", "--verify", id.substr(0, 40) + name.substr(close + 1) + "^{commit}"}));
  return found.substr(0, 40);
}

Outcome<Items> Repository::Read(const std::string& commit) const {
  const auto listing = Run({"ls-tree", "-r", "-z", "--full-tree", commit});
  if (!listing) {
    return tl::unexpected("commit " + commit.substr(0, 12) + " in " + directory_ + " cannot be read (" + listing.error() +
                          "): restore the repository from the remote or a backup");
  }
  TIERFS_ASSIGN(Items items, ParseTree(*listing));
  std::string meta;
  if (const auto found = items.find(kMetaPath); found != items.end()) {
    TIERFS_TRY(ReadBlobs({found->second.blob}, [&](std::size_t, std::string content) -> Outcome<void> {
      meta = std::move(content);
      return {};
    }));
  }
  std::erase_if(items, [](const auto& each) { return each.first.starts_with(std::string(kMetaDirectory) + "/"); });
  for (const auto& [path, item] : items) {
    if (!IsSafe(path))
      return tl::unexpected("commit " + commit.substr(0, 12) + " holds the path " + Quoted(path) + ", which no file can have");
  }
  if (const auto applied = ApplyMeta(meta, items); !applied) {
    return tl::unexpected(std::string(kMetaPath) + " in commit " + commit.substr(0, 12) + ": " + applied.error());
  }
  return items;
}

Outcome<void> Repository::ReadBlobs(const std::vector<std::string>& ids,
                                    const std::function<Outcome<void>(std::size_t at, std::string content)>& visit) const {
  if (ids.empty()) return {};
  Command command = GitCommand({"cat-file", "--batch", "--buffer"});
  for (const std::string& id : ids) command.input += id + "\n";
  BlobReader reader(visit);
  Outcome<void> result;
  std::atomic<bool> failed = false;
  command.enough = &failed;
  command.raw_output = [&](std::string_view bytes) {
    if (failed) return;
    result = reader.Take(bytes);
    failed = !result;
  };
  TIERFS_ASSIGN(const Answer answer, RunGit(std::move(command), kLong));
  if (!result) return result;
  if (answer.code != 0 || reader.count() != ids.size()) {
    return tl::unexpected("the objects of " + directory_ + " cannot be read: " + answer.complaints.Text(answer.code));
  }
  return {};
}

Outcome<std::vector<std::string>> Repository::Append(const std::string& parent, const std::vector<NewCommit>& commits) const {
  if (commits.empty()) return std::vector<std::string>{};
  TIERFS_TRY(CheckPaths(commits));
  TIERFS_ASSIGN(const auto head, Head());
  if ((head ? head->id : "") != parent) {
    return tl::unexpected("the branch 'main' of " + directory_ + " was moved by somebody else" +
                          (head ? " to " + head->id.substr(0, 12) : ""));
  }
  TIERFS_ASSIGN(ImportStream stream, ImportStream::Open());
  for (std::size_t i = 0; i < commits.size(); ++i) PutCommit(stream, commits[i], i + 1, i == 0 ? parent : ":" + std::to_string(i));
  stream.Put("done\n");
  Command command = GitCommand({"fast-import", "--quiet", "--done", "--date-format=raw"});
  TIERFS_ASSIGN(command.input_file, stream.Finish());
  timespec begun;
  ::clock_gettime(CLOCK_REALTIME_COARSE, &begun);
  TIERFS_ASSIGN(const Answer answer, RunGit(std::move(command), kLong));
  if (answer.code != 0) {
    // It left a report with the paths of the commits.
    std::error_code ignored;
    for (const std::string& name : NamesIn(directory_)) {
      if (name.starts_with("fast_import_crash_")) fs::remove(JoinPath(directory_, name), ignored);
    }
    return tl::unexpected("git could not commit to " + directory_ + ": " + answer.complaints.Text(answer.code));
  }
  std::vector<std::string> ids;
  for (std::size_t start = 0; start + 40 < answer.output.size(); start += 41) ids.push_back(answer.output.substr(start, 40));
  if (ids.size() != commits.size()) return tl::unexpected("git did not name the new commits of " + directory_);
  Fault::Here("history.imported");
  TIERFS_TRY(SyncNames(directory_, begun));
  return ids;
}

std::vector<std::string> Repository::Locks() const {
  std::vector<std::string> locks = {"/refs/heads/main.lock", "/HEAD.lock", "/packed-refs.lock"};
  const std::string pushed = "/refs/tierfs/pushed/";
  for (const std::string& name : NamesIn(directory_ + pushed)) {
    if (name.ends_with(".lock")) locks.push_back(pushed + name);
  }
  return locks;
}

std::vector<std::string> Repository::RemoveStaleLocks() const {
  std::vector<std::string> lines;
  for (const std::string& lock : Locks()) {
    const std::string path = directory_ + lock;
    struct stat st;
    // A lock of the future is from before the clock was set back.
    if (::stat(path.c_str(), &st) != 0 || std::abs(::time(nullptr) - st.st_mtim.tv_sec) <= std::chrono::seconds(kStale).count()) continue;
    if (::unlink(path.c_str()) == 0) lines.push_back("removed " + path + ", which a killed git had left");
  }
  return lines;
}

Outcome<void> Repository::TidyUp(const std::atomic<bool>& cancelled) const {
  Command command = GitCommand({"gc", "--auto", "--quiet"});
  command.cancelled = &cancelled;
  TIERFS_ASSIGN(const Answer answer, RunGit(std::move(command), kLong));
  if (answer.code != 0 && !cancelled)
    return tl::unexpected("git could not pack " + directory_ + ": " + answer.complaints.Text(answer.code));
  return {};
}

Outcome<void> Repository::Push(const std::string& remote, const std::atomic<bool>& cancelled) const {
  TIERFS_ASSIGN(const auto head, Head());
  if (!head) return {};
  // The repository's own configuration may name a key or a program.
  TIERFS_ASSIGN(const Answer own, RunGit(GitCommand({"config", "--get", "core.sshCommand"}), kShort));
  std::vector<std::string> arguments = {"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60"};
  if (own.code != 0) {
    arguments.insert(arguments.end(), {"-c", "core.sshCommand=ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15"});
  }
  const Remote parsed(remote);
  arguments.insert(arguments.end(), {"push", "--porcelain", "--", parsed.address(), head->id + ":" + kRef});
  Command command = GitCommand(arguments);
  parsed.LogIn(command);
  command.cancelled = &cancelled;
  TIERFS_ASSIGN(const Answer answer, RunGit(std::move(command), {}));
  if (cancelled) return tl::unexpected(std::string("the push was interrupted"));
  if (answer.code != 0) {
    if (answer.output.find("\n!\t") != std::string::npos || answer.output.starts_with("!\t")) {
      return tl::unexpected("the remote " + Quoted(parsed.address()) +
                            " refuses the branch 'main': somebody else has pushed other commits to it");
    }
    return tl::unexpected("cannot push to " + Quoted(parsed.address()) + ": " + parsed.Hidden(answer.complaints.Origin(answer.code)));
  }
  TIERFS_TRY(Run({"update-ref", PushedRef(remote), head->id}));
  return {};
}

Outcome<Repository::Unpushed> Repository::NotPushed(const std::string& remote) const {
  Unpushed unpushed;
  TIERFS_ASSIGN(const auto head, Head());
  if (!head) return unpushed;
  TIERFS_ASSIGN(const std::string pushed, Run({"for-each-ref", "--format=%(objectname)", PushedRef(remote)}));
  std::vector<std::string> arguments = {"rev-list", "--timestamp", head->id};
  if (!pushed.empty()) arguments.push_back("^" + pushed.substr(0, 40));
  arguments.emplace_back("--");
  TIERFS_ASSIGN(const std::string listing, Run(arguments));
  for (std::size_t start = 0; start < listing.size(); start = listing.find('\n', start) + 1) {
    std::int64_t time = 0;
    std::from_chars(listing.data() + start, listing.data() + listing.size(), time);
    if (unpushed.commits++ == 0 || time < unpushed.since) unpushed.since = time;
  }
  return unpushed;
}

std::string BlobId(std::string_view content) {
  const std::string header = "blob " + std::to_string(content.size()) + '\0';
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_DigestInit_ex(context, EVP_sha1(), nullptr);
  EVP_DigestUpdate(context, header.data(), header.size());
  EVP_DigestUpdate(context, content.data(), content.size());
  EVP_DigestFinal_ex(context, digest, &size);
  EVP_MD_CTX_free(context);
  std::string id;
  for (unsigned i = 0; i < size; ++i) {
    static constexpr char kHex[] = "0123456789abcdef";
    id += {kHex[digest[i] >> 4], kHex[digest[i] & 15]};
  }
  return id;
}

}  // namespace tierfs::history
