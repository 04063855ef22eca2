// borg: one archive for each pass, named HOST-MOUNT-tierN-DATE. Its comment holds the token up to
// which it is complete, and the time at which borg last read everything.
//
// An archive is made under another name and renamed when it is complete, so an interrupted one is
// never built upon. borg walks the tree itself. With a list of paths it would query the attributes
// of each path as well, which costs the same. Besides, borg 1.2 takes a carriage return in a listed
// name for a line end.
#include <cstdio>
#include <cstring>
#include <ctime>

#include "fs/jobs/backup/destination.h"
#include "fs/jobs/backup/recorded.h"

namespace tierfs {
namespace {

// Exit codes of borg(1).
constexpr int kWarning = 1;

// In some messages borg writes a byte that is not UTF-8 as half a surrogate pair, \udcXX, which is
// invalid JSON. Replace it with "?", as borg's other messages do.
nlohmann::json ParseBorg(std::string line) {
  constexpr std::size_t kEscape = 6;  // "\u" and four digits
  for (std::size_t at = 0; at + 1 < line.size(); ++at) {
    if (line[at] != '\\') continue;
    const bool surrogate = line.compare(at, 3, "\\ud") == 0 && at + kEscape <= line.size();
    if (surrogate && line[at + 3] >= '8' && line[at + 3] <= 'b') {
      at += 2 * kEscape - 1;  // skip the whole pair
    } else {
      if (surrogate && line[at + 3] == 'c') {
        line.replace(at, kEscape, "?");
      } else {
        ++at;
      }
    }
  }
  return nlohmann::json::parse(line, nullptr, false);
}

// Nanoseconds. borg prints microseconds, computed with a floating-point number.
constexpr std::int64_t kDateRounding = 2000;

// Parses "2026-11-26T23:07:11.935740", UTC. Returns nanoseconds.
std::int64_t ParseDate(const std::string& text) {
  std::tm when{};
  const char* rest = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &when);
  if (rest == nullptr) return 0;
  const std::int64_t microseconds = *rest == '.' ? std::strtoll(rest + 1, nullptr, 10) : 0;
  return std::int64_t{::timegm(&when)} * 1'000'000'000 + microseconds * 1000;
}

// Returns the type for the first letter of an `ls -l` mode.
std::uint32_t TypeOf(const std::string& letter) {
  switch (letter.empty() ? '-' : letter[0]) {
    case 'd':
      return S_IFDIR;
    case 'l':
      return S_IFLNK;
    case 'p':
      return S_IFIFO;
    case 'c':
      return S_IFCHR;
    case 'b':
      return S_IFBLK;
    default:
      return S_IFREG;
  }
}

class BorgDestination : public BackupDestination {
 public:
  explicit BorgDestination(const BackupContext& context) : context_(context), prefix_(SubjectOf(context) + "-") {}

  BackupResult<Remembered> Remember() override {
    Remembered last;
    constexpr const char* kNewest = "20";
    ToolLog::Call call;
    call.arguments = {"borg", "list", "--consider-checkpoints", "--last", kNewest, "--glob-archives", prefix_ + "[2u]*"};
    call.arguments.insert(call.arguments.end(), {"--format", "{comment}{TAB}{archive}{NL}", context_.request.destination});
    call.output = [&](const std::string& line) {
      // Each line is "tierfs TOKEN EPOCH", a tab and the name. The newest comes last.
      const std::size_t end = line.find('\t');
      if (end == std::string::npos) return false;
      const std::string name = line.substr(end + 1);
      if (name.rfind(prefix_ + kUnfinished, 0) == 0) {
        unfinished_.push_back(name);
        return false;
      }
      char token[128] = "";
      long long full = 0;
      if (std::sscanf(line.c_str(), "tierfs %127s %lld", token, &full) != 2) return false;
      last.token = Token::Parse(token);
      last.last_full = full;
      previous_ = name;
      return false;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    last_token_ = last.token;
    return last;
  }

  BackupResult<PassResult> Copy(const BackupPass& pass) override {
    PassResult result;
    char now[32] = "";
    const std::time_t seconds = std::time(nullptr);
    std::tm local{};
    timespec precise{};
    ::clock_gettime(CLOCK_REALTIME, &precise);
    std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%S", ::localtime_r(&seconds, &local));
    archive_ = std::string(now) + "." + std::to_string(1'000'000 + precise.tv_nsec / 1000).substr(1);
    ToolLog::Call call;
    call.directory = context_.tree;
    call.arguments = {"borg", "create", "--numeric-ids", "--one-file-system", "--log-json", "--list", "--filter", "EC"};
    // A full pass reads every file again, even if its attributes are unchanged.
    call.arguments.insert(call.arguments.end(), {"--files-cache", pass.full ? "disabled" : "ctime,size,inode"});
    call.arguments.insert(call.arguments.end(),
                          {"--comment", "tierfs " + pass.list->token.Render() + " " + std::to_string(pass.last_full)});
    if (context_.on_terminal) call.arguments.emplace_back("--progress");
    if (context_.request.dry_run) call.arguments.emplace_back("--dry-run");
    call.arguments.insert(call.arguments.end(), context_.request.tool_options.begin(), context_.request.tool_options.end());
    call.arguments.insert(call.arguments.end(), {Named(prefix_ + kUnfinished + archive_), "."});
    std::string warning;
    call.error = [&](const std::string& line) {
      const nlohmann::json message = ParseBorg(line);
      if (!message.is_object()) return false;
      const std::string type = message.value("type", "");
      if (type == "archive_progress") {
        context_.progress("archived " + std::to_string(message.value("nfiles", std::uint64_t{0})) + " files");
        return true;
      }
      if (type == "file_status" && message.value("status", "") == "E") result.not_copied.push_back(Lossy(message.value("path", "")));
      if (type == "file_status" && message.value("status", "") == "C") ++result.changed_while_read;
      if (type == "log_message" && message.value("levelname", "") == "WARNING") warning = message.value("message", "");
      return false;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code > kWarning) return tl::unexpected(context_.log.Failed(call, code));
    // borg gave a warning that names no file.
    if (code == kWarning && result.not_copied.empty() && result.changed_while_read == 0) {
      result.partial = "borg warns: " + warning + "; what it printed is in " + context_.log.file();
    }
    if (pass.full && !context_.request.dry_run && !previous_.empty()) {
      TIERFS_ASSIGN(result.differed, Differences());
      result.differed_since = last_token_;
    }
    return result;
  }

  BackupResult<void> Commit(const BackupPass& /*pass*/) override {
    const ToolLog::Call rename{{"borg", "rename", Named(prefix_ + kUnfinished + archive_), prefix_ + archive_}, "", "", {}, {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(rename));
    if (code != 0) return tl::unexpected(context_.log.Failed(rename, code));
    previous_ = prefix_ + archive_;
    TIERFS_TRY(ForEachOfType(context_.config, context_.request.tier, S_IFSOCK, [&](const std::string& /*path*/) { ++sockets_; }));
    if (unfinished_.empty()) return {};
    ToolLog::Call clean{{"borg", "delete", Named(unfinished_.front())}, "", "", {}, {}};
    clean.arguments.insert(clean.arguments.end(), unfinished_.begin() + 1, unfinished_.end());
    TIERFS_ASSIGN(const int cleaned, context_.log.Run(clean));
    if (cleaned > kWarning) return tl::unexpected(context_.log.Failed(clean, cleaned));
    return {};
  }

  BackupResult<std::vector<std::string>> Compare() override {
    TIERFS_ASSIGN(RecordedTree recorded, RecordedTree::Read(context_.config, context_.request.tier));
    ToolLog::Call call;
    // borg prints dates in local time without a zone. One hour each autumn would be ambiguous.
    call.arguments = {"borg", "list", "--json-lines", "--format", "{type}{size}{isomtime}{path}", Named(previous_)};
    call.environment = {"TZ=UTC"};
    call.output = [&](const std::string& line) {
      const nlohmann::json item = ParseBorg(line);
      if (!item.is_object()) return false;
      const std::string path = item.value("path", "");
      // borg gives no size for a further name of a file.
      const bool further = item.value("mode", "").rfind('h', 0) == 0;
      const std::int64_t size = further ? -1 : item.value("size", std::int64_t{-1});
      recorded.Saw(path == "." ? "" : Lossy(path),
                   {TypeOf(item.value("type", "")), size, ParseDate(item.value("isomtime", "")), kDateRounding});
      return true;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0) return tl::unexpected(context_.log.Failed(call, code));
    return recorded.Differing(S_IFSOCK);
  }

  void Describe(BackupReport& report) const override {
    report.archive = previous_;
    report.sockets = sockets_;
  }

 private:
  static constexpr const char* kUnfinished = "unfinished-";

  [[nodiscard]] std::string Named(const std::string& archive) const { return context_.request.destination + "::" + archive; }

  // Returns the paths that differ between the last complete archive and the new one.
  BackupResult<std::vector<std::string>> Differences() {
    std::vector<std::string> paths;
    ToolLog::Call call{{"borg", "diff", "--json-lines", Named(previous_), prefix_ + kUnfinished + archive_}, "", "", {}, {}};
    call.output = [&](const std::string& line) {
      const nlohmann::json difference = ParseBorg(line);
      if (!difference.is_object()) return false;
      std::string path = difference.value("path", "");
      paths.push_back(path == "." ? "" : Lossy(path));
      return false;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code > kWarning) return tl::unexpected(context_.log.Failed(call, code));
    return paths;
  }

  const BackupContext& context_;
  const std::string prefix_;
  std::optional<Token> last_token_;
  std::string previous_;                 // the last complete archive
  std::string archive_;                  // the date in the name of this pass's archive
  std::vector<std::string> unfinished_;  // left by interrupted jobs
  std::uint64_t sockets_ = 0;
};

}  // namespace

std::unique_ptr<BackupDestination> MakeBorgDestination(const BackupContext& context) { return std::make_unique<BorgDestination>(context); }

}  // namespace tierfs
