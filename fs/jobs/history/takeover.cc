// Takes over the history of another git repository.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <filesystem>

#include "fs/jobs/history/import_stream.h"
#include "fs/jobs/history/repository.h"
#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

namespace fs = std::filesystem;

// The git directory of what the user named.
std::string GitDirectoryOf(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path + "/.git", ignored) ? path + "/.git" : path;
}

// The branch that is checked out there.
Outcome<std::string> BranchOf(const Repository& other) {
  const auto format = other.Run({"rev-parse", "--show-object-format", "--is-shallow-repository"});
  if (!format) return tl::unexpected(other.directory() + " is not a git repository: " + format.error());
  if (!format->starts_with("sha1")) return tl::unexpected(other.directory() + " has object ids in another form than SHA-1");
  if (format->find("true") != std::string::npos) {
    return tl::unexpected(other.directory() + " is a shallow clone: run 'git fetch --unshallow' in it first");
  }
  auto branch = other.Run({"symbolic-ref", "HEAD"});
  if (!branch) return tl::unexpected(other.directory() + " has no branch checked out: run 'git checkout BRANCH' in it first");
  branch->pop_back();
  if (!other.Run({"rev-parse", "--verify", *branch + "^{commit}"})) return tl::unexpected(other.directory() + " has no commit");
  return *branch;
}

// Copies all objects of the branch.
Outcome<void> CopyObjects(const Repository& from, const std::string& branch, const Repository& to) {
  const UniqueFd pack(::open(to.directory().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!pack) return tl::unexpected("cannot write to " + to.directory() + ": " + std::strerror(errno));
  int problem = 0;
  std::string complaint;
  Command command = from.GitCommand({"pack-objects", "--revs", "--stdout", "--quiet"});
  command.input = branch + "\n";
  command.raw_output = [&](std::string_view bytes) {
    while (!bytes.empty() && problem == 0) {
      const ssize_t wrote = ::write(pack.get(), bytes.data(), bytes.size());
      if (wrote < 0 && errno != EINTR) problem = errno;
      if (wrote > 0) bytes.remove_prefix(static_cast<std::size_t>(wrote));
    }
  };
  command.error = [&](const std::string& line) { complaint = line; };
  const auto packed = RunProcess(command);
  if (problem != 0) return tl::unexpected("cannot write to " + to.directory() + ": " + std::strerror(problem));
  if (!packed || *packed != 0) return tl::unexpected(from.directory() + " cannot be read: " + complaint);
  ::lseek(pack.get(), 0, SEEK_SET);
  Command index = to.GitCommand({"index-pack", "--stdin", "--strict"});
  index.input_file = pack.get();
  index.error = [&](const std::string& line) { complaint = line; };
  const auto indexed = RunProcess(index);
  if (!indexed || *indexed != 0) return tl::unexpected("the objects of " + from.directory() + " are damaged: " + complaint);
  return {};
}

// Puts the paths in a stream of git fast-export beneath a directory. The stream has no content of
// files; the messages in it are taken as they are.
Outcome<void> PutBeneath(const std::string& exported, const std::string& prefix, ImportStream& stream) {
  const std::string quoted = GitQuoted(prefix + "/");
  const std::string inner = quoted.substr(1, quoted.size() - 2);
  const auto beneath = [&](std::string_view path) {
    return path.starts_with("\"") ? "\"" + inner + std::string(path.substr(1)) : "\"" + inner + GitQuoted(path).substr(1);
  };
  for (std::size_t at = 0; at < exported.size();) {
    const std::size_t stop = std::min(exported.find('\n', at), exported.size());
    const std::string_view line = std::string_view(exported).substr(at, stop - at);
    at = stop + 1;
    if (line.starts_with("data ")) {
      std::size_t size = 0;
      std::from_chars(line.data() + 5, line.data() + line.size(), size);
      if (at + size > exported.size()) return tl::unexpected(std::string("git's export ends early"));
      stream.PutData(std::string_view(exported).substr(at, size));
      at += size;
      continue;
    }
    if (line.starts_with("M ")) {  // M MODE ID PATH
      const std::size_t path = line.find(' ', line.find(' ', 2) + 1) + 1;
      stream.Put(std::string(line.substr(0, path)) + beneath(line.substr(path)) + "\n");
    } else if (line.starts_with("D ")) {
      stream.Put("D " + beneath(line.substr(2)) + "\n");
    } else {
      stream.Put(std::string(line) + "\n");
    }
  }
  return {};
}

// Makes the commits anew, with all paths beneath the prefix. The objects are there.
Outcome<void> RewriteBeneath(const Repository& from, const std::string& branch, const std::string& prefix, const Repository& to) {
  TIERFS_ASSIGN(const std::string exported, from.Run({"fast-export", "--no-data", "--signed-tags=strip", "--reencode=no",
                                                      "--use-done-feature", "--refspec=" + branch + ":" + Repository::kRef, branch}));
  TIERFS_ASSIGN(ImportStream stream, ImportStream::Open());
  TIERFS_TRY(PutBeneath(exported, prefix, stream));
  Command command = to.GitCommand({"fast-import", "--quiet", "--force"});
  TIERFS_ASSIGN(command.input_file, stream.Finish());
  std::string complaint;
  command.error = [&](const std::string& line) {
    if (complaint.empty()) complaint = line;
  };
  const auto imported = RunProcess(command);
  if (!imported || *imported != 0) return tl::unexpected("the history of " + from.directory() + " could not be moved: " + complaint);
  return {};
}

}  // namespace

Outcome<void> Repository::CreateFrom(const std::string& other, const std::string& prefix) const {
  if (!prefix.empty() && WhyGitCannotHold(prefix) != nullptr) return tl::unexpected(Quoted(prefix) + " is not a path in the mount");
  const Repository from(GitDirectoryOf(other));
  TIERFS_ASSIGN(const std::string branch, BranchOf(from));
  TIERFS_TRY(Create());
  TIERFS_TRY(CopyObjects(from, branch, *this));
  if (!prefix.empty()) return RewriteBeneath(from, branch, prefix, *this);
  TIERFS_ASSIGN(const std::string id, from.Run({"rev-parse", "--verify", branch + "^{commit}"}));
  TIERFS_TRY(Run({"update-ref", kRef, id.substr(0, 40)}));
  return {};
}

}  // namespace tierfs::history
