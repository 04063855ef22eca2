#include "fs/jobs/backup/backup.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "fs/jobs/backup/destination.h"
#include "fs/os/mount_table.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

// A pass that met changes while it copied is repeated this often in all.
constexpr int kTries = 3;
constexpr const char* kToolNames[] = {"rsync", "borg", "restic"};

tl::unexpected<BackupError> Refuse(const std::string& text) { return tl::unexpected(BackupError{true, text}); }
tl::unexpected<BackupError> Incomplete(const std::string& text) { return tl::unexpected(BackupError{false, text}); }

// Returns the local directory that a destination names, if it is on this machine: a path, or any
// form that borg and restic accept for one.
std::optional<std::string> LocalPlace(const std::string& destination) {
  for (const char* scheme : {"file://", "local:"}) {
    if (destination.rfind(scheme, 0) == 0) return fs::absolute(destination.substr(std::strlen(scheme))).string();
  }
  if (destination.find(':') < destination.find('/')) return std::nullopt;
  return fs::absolute(destination).string();
}

std::string Canonical(const std::string& path) {
  std::error_code ignored;
  std::string canonical = fs::weakly_canonical(path, ignored).string();
  while (canonical.size() > 1 && canonical.back() == '/') canonical.pop_back();
  return canonical;
}

// Returns the path of the job's own files in the state directory:
// STATE/backup/TOOL-tierN-DESTINATION-HASH.
std::string JobFile(const Config& config, const BackupRequest& request) {
  constexpr std::size_t kLongest = 100;
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : request.destination) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  std::string name = request.destination;
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  if (name.size() > kLongest) name.erase(0, name.size() - kLongest);
  char number[20] = "";
  std::snprintf(number, sizeof number, "%08x", static_cast<unsigned>(hash ^ (hash >> 32)));
  return config.state + "/backup/" + kToolNames[static_cast<int>(request.tool)] + "-tier" + std::to_string(NumberOf(request.tier)) + "-" +
         name + "-" + number;
}

BackupResult<UniqueFd> LockJob(const std::string& file) {
  std::error_code problem;
  fs::create_directories(fs::path(file).parent_path(), problem);
  if (!problem) fs::permissions(fs::path(file).parent_path(), fs::perms::owner_all, problem);
  // The tool inherits the lock: if it outlives the job, the next job still waits for it.
  UniqueFd lock(::open((file + ".lock").c_str(), O_RDWR | O_CREAT, 0600));
  if (!lock) return Incomplete(file + ".lock: " + std::strerror(errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return Incomplete("another backup to this destination is running; nothing was done");
  return lock;
}

bool IsWithin(const std::string& path, const std::string& directory) {
  return path == directory || path.compare(0, directory.size() + 1, directory + "/") == 0;
}

// Returns the device that holds a path, or would hold it once it is made.
std::optional<dev_t> DeviceOf(fs::path path) {
  struct stat st {};
  while (::stat(path.c_str(), &st) != 0) {
    if (!path.has_relative_path()) return std::nullopt;
    path = path.parent_path();
  }
  return st.st_dev;
}

// Whether this option makes the tool copy nothing. The token would then move without a copy.
bool CopiesNothing(BackupTool tool, const std::string& option) {
  // borg accepts abbreviations
  for (const char* name : {"--dr", "--list-only", "--only-write-batch"}) {
    if (option.rfind(name, 0) == 0) return true;
  }
  if (option.rfind("--", 0) == 0) return false;
  // The single-letter options that take a value.
  static constexpr const char* kValued[] = {"efBTM@", "eC", "eorp"};
  const std::size_t letters = std::min(option.find_first_of(kValued[static_cast<int>(tool)]), option.size());
  return option.find('n') < letters;
}

// A backup written into the data that it backs up would grow for ever. A copy in a tier's place
// would delete the tier's contents.
BackupResult<void> RefuseOwn(const Config& config, const BackupRequest& request) {
  const auto local = LocalPlace(request.destination);
  if (!local) return {};
  const std::string within = request.tool == BackupTool::kRsync ? "/tier" + std::to_string(NumberOf(request.tier)) : "";
  const std::string place = Canonical(*local + within);
  struct stat there {};
  const bool exists = ::stat(place.c_str(), &there) == 0;
  std::vector<std::string> own(config.tiers.begin(), config.tiers.end());
  own.insert(own.end(), config.lower.begin(), config.lower.end());
  own.push_back(config.mountpoint);
  own.push_back(config.state);
  for (const std::string& directory : own) {
    if (directory.empty()) continue;
    const std::string root = Canonical(directory);
    struct stat st {};
    const bool same = exists && ::stat(root.c_str(), &st) == 0 && st.st_dev == there.st_dev && st.st_ino == there.st_ino;
    if (same || IsWithin(place, root)) return Refuse("the destination is inside " + directory + ", which belongs to the mount");
    if (IsWithin(root, place)) return Refuse("the destination holds " + directory + ", which belongs to the mount");
  }
  // The device number finds the mount at any mountpoint and by any path.
  const auto device = DeviceOf(place);
  for (const MountedFs& mount : TierfsMounts()) {
    if (mount.config == config.file && device && DeviceOf(mount.mountpoint) == device)
      return Refuse("the destination is inside the mount at " + mount.mountpoint);
  }
  return {};
}

// Returns the token of the last complete pass that the job itself remembers. If the destination has
// another token, another job made its copy, or this machine's state was restored from an earlier
// day. The feed then cannot know the changes since.
std::string RememberedHere(const std::string& file) {
  std::ifstream stream(file + ".last");
  std::string token;
  stream >> token;
  return token;
}
bool RememberHere(const std::string& file, const std::string& token) {
  std::error_code problem;
  std::ofstream(file + ".last.new") << token << std::endl;
  fs::rename(file + ".last.new", file + ".last", problem);
  return !problem && RememberedHere(file) == token;
}

// Returns why a full pass is needed, or "" if the list of changes is enough.
std::string WhyFull(const BackupRequest& request, const Remembered& last, const ChangeList& list, std::int64_t now) {
  if (!last.token) return "the first one";
  if (last.cut_short) return "the last one was cut short";
  if (list.full == Full::kOtherDatabase) return "the feed cannot say what changed since the last copy";
  if (list.full == Full::kTooOld) return "the feed cannot say what changed: the last copy is too old";
  if (request.full) return "asked for";
  const std::int64_t days = (now - last.last_full) / 86400;
  if (days >= request.full_every) return "the last one is " + std::to_string(days) + " days old";
  return "";
}

std::unique_ptr<BackupDestination> MakeDestination(const BackupContext& context) {
  switch (context.request.tool) {
    case BackupTool::kBorg:
      return MakeBorgDestination(context);
    case BackupTool::kRestic:
      return MakeResticDestination(context);
    default:
      return MakeRsyncDestination(context);
  }
}

std::string FirstOf(const std::vector<std::string>& paths) {
  return paths.front() + (paths.size() > 1 ? " and " + std::to_string(paths.size() - 1) + " more" : "");
}

// Runs one job. The caller holds the job's lock.
class Job {
 public:
  Job(const BackupContext& context, BackupReport& report)
      : config_(context.config), request_(context.request), file_(context.file), destination_(MakeDestination(context)), report_(report) {}

  BackupResult<void> Run() {
    TIERFS_ASSIGN(Remembered last, destination_->Remember());
    // A token of another catalogue cannot be answered, and so leads to a full pass.
    if (last.token && last.token->Render() != RememberedHere(file_)) last.token = Token{"unknown", 0};
    for (int tried = 1;; ++tried) {
      TIERFS_ASSIGN(const ChangeList list, List(last.token));
      const std::int64_t now = std::time(nullptr);
      report_.why_full = WhyFull(request_, last, list, now);
      const bool full = !report_.why_full.empty();
      report_.token = list.token.Render();
      report_.pass = full ? BackupReport::Pass::kFull : BackupReport::Pass::kIncremental;
      if (list.full == Full::kNo) report_.changed = list.changes.size();
      if (!full && request_.skip_unchanged && list.changes.empty()) {
        report_.pass = BackupReport::Pass::kSkipped;
        destination_->Describe(report_);
        return Verify(*last.token);
      }
      const BackupPass pass{full, &list, full ? now : last.last_full};
      TIERFS_ASSIGN(PassResult result, destination_->Copy(pass));
      // A path that changed meanwhile is listed in the next pass.
      TIERFS_ASSIGN(const auto not_copied, Settled(list.token, std::move(result.not_copied)));
      if (!not_copied.empty())
        return Incomplete("could not be copied: " + FirstOf(not_copied) + "; what the tool printed is in " + report_.log);
      if (!result.partial.empty()) {
        if (tried < kTries) continue;
        return Incomplete(result.partial);
      }
      report_.changed_while_read = result.changed_while_read;
      if (request_.dry_run) return {};
      TIERFS_TRY(destination_->Commit(pass));
      if (!RememberHere(file_, report_.token)) return Incomplete(file_ + ".last could not be written; the next pass will be a full one");
      destination_->Describe(report_);
      if (result.differed && result.differed_since && list.full == Full::kNo) {
        TIERFS_ASSIGN(report_.missed, Settled(*result.differed_since, std::move(*result.differed)));
      }
      return Verify(list.token);
    }
  }

 private:
  [[nodiscard]] BackupResult<ChangeList> List(const std::optional<Token>& since) const {
    auto list = ListSince(config_, request_.tier, since);
    if (!list) return Incomplete(WithoutProgram(list.error()));
    return std::move(*list);
  }
  // Returns those of the paths that have not changed since the token.
  [[nodiscard]] BackupResult<std::vector<std::string>> Settled(const Token& since, std::vector<std::string> paths) const {
    auto rest = NotChangedSince(config_, request_.tier, since, std::move(paths));
    if (!rest) return Incomplete(WithoutProgram(rest.error()));
    return std::move(*rest);
  }
  BackupResult<void> Verify(const Token& copied) {
    if (!request_.verify || request_.dry_run) return {};
    TIERFS_ASSIGN(auto differing, destination_->Compare());
    TIERFS_ASSIGN(report_.differs, Settled(copied, std::move(differing)));
    destination_->Describe(report_);
    return {};
  }
  static std::string WithoutProgram(const std::string& line) { return line.rfind("tierctl: ", 0) == 0 ? line.substr(9) : line; }

  const Config& config_;
  const BackupRequest& request_;
  const std::string file_;
  const std::unique_ptr<BackupDestination> destination_;
  BackupReport& report_;
};

}  // namespace

std::string HostName() {
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) != 0) return "localhost";
  return name;
}

std::string SubjectOf(const BackupContext& context) {
  std::string subject;
  for (const char c : HostName() + "-" + context.config.name) {
    char hex[8] = "";
    std::snprintf(hex, sizeof hex, "=%02X", static_cast<unsigned char>(c));
    subject += std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("._-", c) != nullptr ? std::string(1, c) : hex;
  }
  return subject + "-tier" + std::to_string(NumberOf(context.request.tier));
}

BackupResult<BackupReport> RunBackup(const Config& config, const BackupRequest& asked,
                                     const std::function<void(const std::string&)>& progress) {
  const auto start = std::chrono::steady_clock::now();
  if (std::find(config.feed.begin(), config.feed.end(), asked.tier) == config.feed.end()) {
    return Refuse("'" + config.name + "': changes of tier " + std::to_string(NumberOf(asked.tier)) + " are not recorded; see 'feed' in " +
                  config.file);
  }
  TIERFS_TRY(RefuseOwn(config, asked));
  for (const std::string& option : asked.tool_options) {
    if (option.rfind('-', 0) != 0) return Refuse("'" + option + "' is not an option; give an option with a value as --option=value");
    if (CopiesNothing(asked.tool, option))
      return Refuse("with '" + option + "' " + kToolNames[static_cast<int>(asked.tool)] + " copies nothing; -n before the -- is a dry run");
  }
  // Use the canonical path, so that the job's files do not depend on the spelling of the
  // destination or the tool's working directory.
  BackupRequest request = asked;
  if (const auto local = LocalPlace(asked.destination)) request.destination = Canonical(*local);
  const std::string file = JobFile(config, request);
  TIERFS_ASSIGN(const UniqueFd lock, LockJob(file));
  ToolLog log(file + ".log");
  BackupReport report;
  report.log = log.file();
  const BackupContext context{config,
                              request,
                              Canonical(config.tiers[LayerOf(request.tier)]),
                              file,
                              log,
                              progress ? progress : [](const std::string&) {},
                              static_cast<bool>(progress)};
  TIERFS_TRY(Job(context, report).Run());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace tierfs
