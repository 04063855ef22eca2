// rsync: the copy is DESTINATION/tierN. DESTINATION/tierN.token holds the token up to which it is
// complete and the time of the last full pass.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "fs/jobs/backup/destination.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

// Exit codes of rsync(1).
constexpr int kPartial = 23;
constexpr int kVanished = 24;

// Decodes a name as rsync prints it: \#ooo is a byte.
std::string Unescaped(const std::string& text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string path;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text.compare(at, 2, "\\#") == 0 && at + 4 < text.size() && octal(text[at + 2]) && octal(text[at + 3]) && octal(text[at + 4])) {
      path += static_cast<char>((text[at + 2] - '0') * 64 + (text[at + 3] - '0') * 8 + (text[at + 4] - '0'));
      at += 4;
    } else {
      path += text[at];
    }
  }
  return path;
}

// Returns the path of an itemized line, "YXcstpoguax PATH" or "*deleting   PATH". Returns nullopt
// for other lines.
std::optional<std::string> ItemizedPath(const std::string& line) {
  constexpr std::size_t kFlags = 11;
  if (line.size() < kFlags + 2 || line[kFlags] != ' ' || std::strchr("<>ch.*", line[0]) == nullptr) return std::nullopt;
  std::string path = Unescaped(line.substr(kFlags + 1));
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path == "." ? "" : path;
}

class RsyncDestination : public BackupDestination {
 public:
  explicit RsyncDestination(const BackupContext& context)
      : context_(context),
        place_(context.request.destination + (context.request.destination.back() == '/' ? "" : "/")),
        is_remote_(place_.find(':') < place_.find('/')),
        copy_(place_ + "tier" + std::to_string(NumberOf(context.request.tier))),
        source_(context.tree + "/") {}

  BackupResult<Remembered> Remember() override {
    if (!is_remote_ && !fs::is_directory(place_)) {
      return tl::unexpected(BackupError{false, place_ + " does not exist; mount its disk, or create the directory if it is new"});
    }
    std::error_code ignored;
    fs::remove(TokenFile(), ignored);
    const ToolLog::Call fetch{Rsync({"-q", copy_ + ".token", TokenFile()}), "", "", {}, {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(fetch));
    if (code != 0 && code != kPartial) return tl::unexpected(context_.log.Failed(fetch, code));
    // The fields are TOKEN, the time of the last full pass, "complete" or "begun", the owner of the
    // copy and the copy's inode number.
    Remembered last;
    std::ifstream file(TokenFile());
    std::string token;
    std::string state;
    std::string subject;
    std::uint64_t inode = 0;
    if (!(file >> token >> last.last_full >> state >> subject >> inode)) return last;
    if (subject != SubjectOf(context_)) {
      return tl::unexpected(BackupError{true, "the destination holds the copy of " + subject + "; give each mount one of its own"});
    }
    // The token does not describe this copy if the copy was removed or is on a disk that is not
    // mounted.
    if (inode != CopyInode()) return last;
    if (is_remote_) {
      const ToolLog::Call look{Rsync({"--list-only", "--dirs", "--no-recursive", copy_}), "", "", {}, {}};
      TIERFS_ASSIGN(const int there, context_.log.Run(look));
      if (there != 0) return last;
    }
    last.token = Token::Parse(token);
    last.cut_short = state != "complete";
    last_ = last;
    return last;
  }

  BackupResult<PassResult> Copy(const BackupPass& pass) override {
    PassResult result;
    const bool answered = pass.list->full == Full::kNo;
    // A killed rsync leaves temporary files in the copy; the full pass that follows removes them.
    if (last_.token && !context_.request.dry_run && (pass.full || !pass.list->to_copy.empty())) {
      TIERFS_TRY(Store(*last_.token, last_.last_full, "begun"));
    }
    if (answered && !pass.list->to_copy.empty()) {
      TIERFS_ASSIGN(result.partial, These(pass.list->to_copy));
    }
    if (!pass.full || !result.partial.empty()) return result;
    // A change that the list should have named and did not shows up here.
    result.differed_since = pass.list->token;
    std::vector<std::string> differed;
    TIERFS_ASSIGN(result.partial, Everything(answered, differed));
    if (answered && !last_.cut_short) result.differed = std::move(differed);
    if (!result.partial.empty() || context_.request.dry_run) return result;
    // For example, names may be one file in the copy and several files in the tree. rsync then sets
    // the attributes of the shared file and finds its content right. Make the paths that still
    // differ anew, file by file.
    TIERFS_ASSIGN(std::vector<std::string> left, Differences({}));
    if (left.empty()) return result;
    std::vector<ChangedPath> again;
    again.reserve(left.size());
    for (std::string& path : left) again.push_back({'M', false, std::move(path)});
    TIERFS_ASSIGN(result.partial, These(PathsToCopy(again, {})));
    TIERFS_ASSIGN(left, Differences({}));
    for (const std::string& path : left) result.not_copied.push_back(Lossy(path));
    return result;
  }

  BackupResult<void> Commit(const BackupPass& pass) override { return Store(pass.list->token, pass.last_full, "complete"); }

  // rsync's own full comparison, by content.
  BackupResult<std::vector<std::string>> Compare() override {
    TIERFS_ASSIGN(std::vector<std::string> paths, Differences({"--checksum"}));
    for (std::string& path : paths) path = Lossy(path);
    return paths;
  }

 private:
  [[nodiscard]] std::string TokenFile() const { return context_.file + ".token"; }
  // Returns 0 if the inode number cannot be read.
  [[nodiscard]] std::uint64_t CopyInode() const {
    struct stat st {};
    return !is_remote_ && ::stat(copy_.c_str(), &st) == 0 ? st.st_ino : 0;
  }

  // Writes the token file beside the copy. A complete copy must be on the disk before its token.
  BackupResult<void> Store(const Token& token, std::int64_t last_full, const char* state) {
    for (const std::string& directory : {copy_, place_}) {
      if (is_remote_) break;
      const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      if (!fd || ::syncfs(fd.get()) != 0) return tl::unexpected(BackupError{false, directory + ": sync: " + std::strerror(errno)});
    }
    std::ofstream file(TokenFile(), std::ios::trunc);
    file << token.Render() << '\n' << last_full << '\n' << state << '\n' << SubjectOf(context_) << '\n' << CopyInode() << std::endl;
    if (!file) return tl::unexpected(BackupError{false, TokenFile() + " could not be written"});
    // Two tokens written in one second have the same size and date.
    const ToolLog::Call store{Rsync({"-q", "--ignore-times", TokenFile(), copy_ + ".token"}), "", "", {}, {}};
    TIERFS_ASSIGN(const int code, context_.log.Run(store));
    if (code != 0) return tl::unexpected(context_.log.Failed(store, code));
    return {};
  }

  // -A and -X with whiteouts need root on both sides. -x: a file system mounted beneath a tree is
  // not part of it.
  [[nodiscard]] std::vector<std::string> Rsync(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{"rsync"};
    all.insert(all.end(), context_.request.tool_options.begin(), context_.request.tool_options.end());
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  [[nodiscard]] std::vector<std::string> Copier(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{"-aHAXSx", "--numeric-ids", "--8-bit-output", "--itemize-changes", "--out-format=%i %n"};
    if (context_.request.dry_run) all.emplace_back("--dry-run");
    all.insert(all.end(), arguments.begin(), arguments.end());
    all.push_back(source_);
    all.push_back(copy_ + "/");
    return Rsync(all);
  }

  // Each returns why not everything was copied, or "" if everything was.
  BackupResult<std::string> RunCopy(const ToolLog::Call& call) {
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    // vanished entries are listed next time
    if (code == 0 || code == kVanished) return std::string();
    if (code == kPartial) return context_.log.Failed(call, code).text;
    return tl::unexpected(context_.log.Failed(call, code));
  }

  BackupResult<std::string> Everything(bool listed, std::vector<std::string>& differed) {
    ToolLog::Call call;
    std::vector<std::string> options{"--delete", "--force"};
    // When the feed cannot name the changes, size and date do not prove that the content equals
    // that of an older copy.
    std::error_code ignored;
    if (!listed && (is_remote_ || fs::exists(copy_, ignored))) options.emplace_back("--checksum");
    if (context_.on_terminal) options.emplace_back("--info=progress2");
    call.arguments = Copier(options);
    call.output = [&](const std::string& line) {
      if (const auto path = ItemizedPath(line)) {
        differed.push_back(Lossy(*path));
        return false;
      }
      if (line[0] != ' ') return false;
      context_.progress("copying everything:" + line);
      return true;
    };
    return RunCopy(call);
  }

  BackupResult<std::string> These(const std::vector<std::string>& paths) {
    ToolLog::Call call;
    // --ignore-times: a listed file is always made anew, never changed in place. It is thus
    // separated from other names of the copy's file, and a change that size and time do not show is
    // copied. "./" precedes each path; without it rsync takes some names for a comment (# ;) or an
    // option.
    call.arguments = Copier({"--ignore-times", "--from0", "--files-from=-", "--delete-missing-args", "--force"});
    bool root = false;
    for (const std::string& path : paths) {
      root = root || path.empty();
      // The tree itself would stand for everything beneath it.
      if (!path.empty()) call.input += "./" + path + '\0';
    }
    std::uint64_t done = 0;
    call.output = [&](const std::string& line) {
      if (ItemizedPath(line)) ++done;
      context_.progress("copied " + std::to_string(done) + " of " + std::to_string(paths.size()) + " paths");
      return false;
    };
    std::string partial;
    if (!call.input.empty()) {
      TIERFS_ASSIGN(partial, RunCopy(call));
    }
    if (root && partial.empty()) {
      TIERFS_ASSIGN(partial, RunCopy({Copier({"--no-recursive", "--dirs", "--exclude=*"}), "", "", {}, {}}));
    }
    return partial;
  }

  BackupResult<std::vector<std::string>> Differences(const std::vector<std::string>& options) {
    std::vector<std::string> paths;
    ToolLog::Call call;
    std::vector<std::string> all{"--dry-run", "--delete"};
    all.insert(all.end(), options.begin(), options.end());
    call.arguments = Copier(all);
    call.output = [&](const std::string& line) {
      if (const auto path = ItemizedPath(line)) paths.push_back(*path);
      context_.progress("comparing, " + std::to_string(paths.size()) + " differences");
      return false;
    };
    TIERFS_ASSIGN(const int code, context_.log.Run(call));
    if (code != 0 && code != kVanished) return tl::unexpected(context_.log.Failed(call, code));
    return paths;
  }

  const BackupContext& context_;
  const std::string place_;  // with a trailing slash
  const bool is_remote_;
  const std::string copy_;
  const std::string source_;
  Remembered last_;
};

}  // namespace

std::unique_ptr<BackupDestination> MakeRsyncDestination(const BackupContext& context) {
  return std::make_unique<RsyncDestination>(context);
}

}  // namespace tierfs
