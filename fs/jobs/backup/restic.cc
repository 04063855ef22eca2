// restic: one snapshot for each pass. Its tags name the mount and the tier, the token up to which
// it is complete, and the time at which restic last read everything. The token is tagged once the
// snapshot is complete. An interrupted snapshot has no token and is never built upon.
#include <fcntl.h>
#include <unistd.h>

#include <climits>
#include <ctime>

#include "fs/jobs/backup/destination.h"
#include "fs/jobs/backup/recorded.h"
#include "fs/os/beneath.h"

namespace tierfs {
namespace {

// Exit codes of restic(1). 3: a snapshot was made, but part of the tree could not be read.
constexpr int kUnread = 3;

// Parses "2026-11-26T23:00:36.882210458Z". Returns nanoseconds. restic prints dates with the zone
// that it runs in.
std::int64_t ParseDate(const std::string& text) {
  std::tm when{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &when);
  if (rest == nullptr) return 0;
  std::int64_t nanoseconds = 0;
  if (*rest == '.') {
    std::int64_t unit = 100'000'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) nanoseconds += (*rest - '0') * unit;
  }
  std::int64_t offset = 0;
  int hours = 0;
  int minutes = 0;
  if (std::sscanf(rest, "%3d:%2d", &hours, &minutes) == 2) offset = hours * 3600 + (*rest == '-' ? -minutes : minutes) * 60;
  return (std::int64_t{::timegm(&when)} - offset) * 1'000'000'000 + nanoseconds;
}

std::uint32_t TypeOf(const std::string& name) {
  if (name == "dir") return S_IFDIR;
  if (name == "symlink") return S_IFLNK;
  if (name == "fifo") return S_IFIFO;
  if (name == "chardev") return S_IFCHR;
  if (name == "dev") return S_IFBLK;
  if (name == "socket") return S_IFSOCK;
  return S_IFREG;
}

class ResticDestination : public BackupDestination {
 public:
  explicit ResticDestination(const BackupContext& context) : context_(context), tag_("tierfs:" + SubjectOf(context)) {}

  BackupResult<Remembered> Remember() override {
    // The lock of a killed restic would prevent tagging. The locks of running processes stay.
    const ToolLog::Call unlock{Restic({"unlock"}), "", "", {}, {}};
    TIERFS_ASSIGN(const int unlocked, context_.log.Run(unlock));
    if (unlocked != 0) return tl::unexpected(context_.log.Failed(unlock, unlocked));
    TIERFS_TRY(FindSnapshots());
    Remembered last;
    last.token = last_token_;
    last.last_full = last_full_;
    return last;
  }

  BackupResult<PassResult> Copy(const BackupPass& pass) override {
    PassResult result;
    snapshot_.clear();
    ToolLog::Call call;
    std::vector<std::string> arguments{"backup", "--json", "--one-file-system", "--tag", tag_};
    // A full pass reads every file again. Other passes read the files whose attributes differ from
    // the last complete snapshot.
    if (pass.full) {
      arguments.emplace_back("--force");
    } else {
      arguments.insert(arguments.end(), {"--parent", previous_});
    }
    if (context_.request.dry_run) arguments.emplace_back("--dry-run");
    arguments.insert(arguments.end(), context_.request.tool_options.begin(), context_.request.tool_options.end());
    arguments.push_back(context_.tree);
    call.arguments = Restic(arguments);
    call.output = [&](const std::string& line) {
      const nlohmann::json message = nlohmann::json::parse(line, nullptr, false);
      if (!message.is_object()) return false;
      const std::string type = message.value("message_type", "");
      if (type == "status") {
        context_.progress("archived " + std::to_string(static_cast<int>(message.value("percent_done", 0.0) * 100)) + " %");
        return true;
      }
      if (type == "summary") snapshot_ = message.value("snapshot_id", "");
      return false;
    };
    call.error = [&](const std::string& line) {
      const nlohmann::json message = nlohmann::json::parse(line, nullptr, false);
      if (message.is_object() && message.value("message_type", "") == "error") {
        result.not_copied.push_back(InTree(message.value("item", "")).value_or(message.value("item", "")));
      }
      return false;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0 && code != kUnread) return tl::unexpected(context_.log.Failed(call, code));
    if (code == kUnread && result.not_copied.empty()) result.partial = context_.log.Failed(call, code).text;
    if (snapshot_.empty() && !context_.request.dry_run && result.partial.empty())
      result.partial = "restic named no snapshot; what it printed is in " + context_.log.file();
    if (pass.full && !context_.request.dry_run && !previous_.empty() && !snapshot_.empty()) {
      TIERFS_ASSIGN(result.differed, Differences());
      result.differed_since = last_token_;
    }
    return result;
  }

  BackupResult<void> Commit(const BackupPass& pass) override {
    const ToolLog::Call call{
        Restic({"tag", "--add", kToken + pass.list->token.Render(), "--add", kFull + std::to_string(pass.last_full), snapshot_}),
        "",
        "",
        {},
        {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    if (!unfinished_.empty()) {
      std::vector<std::string> arguments{"forget"};
      arguments.insert(arguments.end(), unfinished_.begin(), unfinished_.end());
      const ToolLog::Call clean{Restic(arguments), "", "", {}, {}};
      TIERFS_ASSIGN(const int cleaned, context_.log.Run(clean));
      if (cleaned != 0) return tl::unexpected(context_.log.Failed(clean, cleaned));
    }
    TIERFS_TRY(FindDamaged());
    // Tagging gave the snapshot a new id.
    TIERFS_TRY(FindSnapshots());
    if (!last_token_ || last_token_->Render() != pass.list->token.Render()) {
      return tl::unexpected(BackupError{false, "the snapshot " + snapshot_ + " is not in the repository any more"});
    }
    return {};
  }

  BackupResult<std::vector<std::string>> Compare() override {
    TIERFS_ASSIGN(RecordedTree recorded, RecordedTree::Read(context_.config, context_.request.tier));
    const ToolLog::Call call{Restic({"ls", "--json", previous_}),
                             "",
                             "",
                             [&](const std::string& line) {
                               const nlohmann::json node = nlohmann::json::parse(line, nullptr, false);
                               if (!node.is_object() || node.value("struct_type", "") != "node") return false;
                               const auto path = InTree(node.value("path", ""));
                               if (!path) return true;
                               RecordedTree::Listed listed;
                               listed.type = TypeOf(node.value("type", ""));
                               listed.size = node.value("size", std::int64_t{0});
                               listed.mtime = ParseDate(node.value("mtime", ""));
                               recorded.Saw(*path, listed);
                               return true;
                             },
                             {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    return recorded.Differing(0);
  }

  void Describe(BackupReport& report) const override {
    report.archive = previous_;
    report.damaged = damaged_;
  }

 private:
  static constexpr const char* kToken = "tierfs-token:";
  static constexpr const char* kFull = "tierfs-full:";

  [[nodiscard]] std::vector<std::string> Restic(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{"restic", "--repo", context_.request.destination};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }

  // restic prints the absolute path of each file.
  [[nodiscard]] std::optional<std::string> InTree(std::string path) const {
    const std::string root = Lossy(context_.tree);
    path = Lossy(path);
    while (!path.empty() && path.back() == '/') path.pop_back();
    if (path == root) return "";
    if (path.compare(0, root.size() + 1, root + "/") != 0) return std::nullopt;
    return path.substr(root.size() + 1);
  }

  // Finds the last complete snapshot, and the incomplete ones.
  BackupResult<void> FindSnapshots() {
    std::string text;
    ToolLog::Call call{
        Restic({"snapshots", "--json", "--tag", tag_}), "", "", [&](const std::string& line) { return text += line, true; }, {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    unfinished_.clear();
    std::string newest;
    const nlohmann::json snapshots = nlohmann::json::parse(text, nullptr, false);
    if (!snapshots.is_array()) return {};  // "null": none
    for (const nlohmann::json& snapshot : snapshots) {
      std::optional<Token> token;
      std::int64_t full = 0;
      for (const nlohmann::json& tag : snapshot.value("tags", nlohmann::json::array())) {
        const std::string value = tag.get<std::string>();
        if (value.rfind(kToken, 0) == 0) token = Token::Parse(value.substr(std::string(kToken).size()));
        if (value.rfind(kFull, 0) == 0) full = std::strtoll(value.c_str() + std::string(kFull).size(), nullptr, 10);
      }
      const std::string time = snapshot.value("time", "");
      if (!token) unfinished_.push_back(snapshot.value("id", ""));
      if (!token || ParseDate(time) < ParseDate(newest)) continue;
      newest = time;
      last_token_ = token;
      last_full_ = full;
      previous_ = snapshot.value("id", "");
    }
    return {};
  }

  // Before version 0.16 restic silently wrote U+FFFD for each byte of a symlink's target that is
  // not UTF-8 (restic issue 3311).
  BackupResult<void> FindDamaged() {
    int major = 0;
    int minor = 0;
    const ToolLog::Call call{{"restic", "version"},
                             "",
                             "",
                             [&](const std::string& line) {
                               (void)std::sscanf(line.c_str(), "restic %9d.%9d", &major, &minor);
                               return false;
                             },
                             {}};
    TIERFS_TRY(context_.log.Run(call));
    if (major > 0 || minor >= 16) return {};
    const UniqueFd root(::open(context_.tree.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    return ForEachOfType(context_.config, context_.request.tier, S_IFLNK, [&](const std::string& path) {
      const auto link = OpenBeneath(root.get(), path, O_PATH | O_NOFOLLOW);
      std::string target(PATH_MAX, '\0');
      const ssize_t size = link ? ::readlinkat(link->get(), "", target.data(), target.size()) : -1;
      if (size < 0) return;  // the symlink is gone by now
      target.resize(static_cast<std::size_t>(size));
      if (!IsUtf8(target)) damaged_.push_back(Lossy(path));
    });
  }

  // Returns the paths that differ between the last complete snapshot and the new one.
  BackupResult<std::vector<std::string>> Differences() {
    std::vector<std::string> paths;
    const ToolLog::Call call{Restic({"diff", "--json", "--metadata", previous_, snapshot_}),
                             "",
                             "",
                             [&](const std::string& line) {
                               const nlohmann::json change = nlohmann::json::parse(line, nullptr, false);
                               if (!change.is_object() || change.value("message_type", "") != "change") return false;
                               if (auto path = InTree(change.value("path", ""))) paths.push_back(*path);
                               return false;
                             },
                             {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    return paths;
  }

  const BackupContext& context_;
  const std::string tag_;
  std::optional<Token> last_token_;
  std::int64_t last_full_ = 0;
  std::string previous_;                 // the last complete snapshot
  std::string snapshot_;                 // the snapshot of this pass
  std::vector<std::string> unfinished_;  // left by interrupted jobs
  std::vector<std::string> damaged_;     // symlinks
};

}  // namespace

std::unique_ptr<BackupDestination> MakeResticDestination(const BackupContext& context) {
  return std::make_unique<ResticDestination>(context);
}

}  // namespace tierfs
