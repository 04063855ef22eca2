// Takes over the history of another git repository.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "fs/jobs/history/import_stream.h"
#include "fs/jobs/history/repository.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

namespace fs = std::filesystem;

// A regular file beneath the directory, whose owner may be hostile; "" if there is none. No symlink
// is followed.
std::string TextOf(int directory, const std::string& path) {
  constexpr std::size_t kMost = std::size_t{256} << 20;
  std::string text;
  const auto file = OpenBeneath(directory, path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  const auto st = file ? StatFd(file->get()) : tl::unexpected(file.error());
  if (!st || !S_ISREG(st->st_mode)) return text;
  std::array<char, 65536> buffer;
  for (ssize_t got = 0; text.size() < kMost && (got = ::read(file->get(), buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  return text;
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

bool IsThere(int directory, const std::string& path) { return OpenBeneath(directory, path, O_PATH | O_NOFOLLOW).has_value(); }

// The id of a branch's newest commit; "" if there is none.
std::string TipOf(int git, const std::string& branch) {
  if (std::string id = FirstLine(TextOf(git, branch)); !id.empty()) return id;
  const std::string packed = "\n" + TextOf(git, "packed-refs");
  const std::size_t at = packed.find(" " + branch + "\n");  // ID NAME
  const std::size_t line = at == std::string::npos ? at : packed.rfind('\n', at) + 1;
  return line == std::string::npos ? "" : packed.substr(line, at - line);
}

// A repository of our own that borrows the objects of the other one and is at its commit. The files
// of the other one are read without git: its configuration can name commands.
class Borrowed {
 public:
  [[nodiscard]] static Outcome<std::unique_ptr<Borrowed>> Make(const std::string& other, const std::string& directory) {
    std::unique_ptr<Borrowed> borrowed(new Borrowed(other, directory));
    TIERFS_TRY(borrowed->repository_.Create());
    TIERFS_TRY(borrowed->Open());
    TIERFS_TRY(borrowed->CheckConfiguration());
    TIERFS_TRY(borrowed->CheckObjects());
    TIERFS_ASSIGN(const std::string id, borrowed->Tip());
    std::ofstream(directory + "/objects/info/alternates") << GitQuoted(borrowed->path_ + "/objects") << "\n";
    const auto updated = borrowed->repository_.Run({"update-ref", Repository::kRef, id});
    if (!updated) return tl::unexpected(borrowed->path_ + " cannot be read: " + updated.error());
    borrowed->id_ = id;
    return borrowed;
  }
  ~Borrowed() {
    std::error_code ignored;
    fs::remove_all(repository_.directory(), ignored);
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;

  [[nodiscard]] const Repository& repository() const { return repository_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  // Objects of a third repository may be none of the user's business.
  [[nodiscard]] Outcome<void> CheckObjects() const {
    for (const char* file : {"objects/info/alternates", "objects/info/http-alternates"}) {
      if (IsThere(git_.get(), file))
        return tl::unexpected(path_ + " borrows objects (" + file + "): run 'git repack -ad' in it and remove that");
    }
    const auto packs = OpenBeneath(git_.get(), "objects/pack", O_PATH | O_DIRECTORY);
    const auto listable = packs ? Reopen(packs->get(), O_RDONLY | O_DIRECTORY) : tl::unexpected(packs.error());
    if (!listable) return {};
    bool partial = false;
    const Status listed = ForEachEntry(listable->get(), [&](const dirent64& entry) -> Status {
      partial = partial || std::string_view(entry.d_name).ends_with(".promisor");
      return {};
    });
    if (!listed) return tl::unexpected(path_ + "/objects/pack cannot be read: " + std::strerror(listed.error().code));
    if (partial) return tl::unexpected(path_ + " is a partial clone: make a whole one of it first");
    return {};
  }

 private:
  Borrowed(const std::string& other, const std::string& directory)
      : path_(fs::absolute(other).lexically_normal()), repository_(directory) {}

  // Opens the git directory of what the user named.
  Outcome<void> Open() {
    std::error_code ignored;
    const std::string named = path_;
    if (fs::exists(path_ + "/.git", ignored)) path_ += "/.git";
    if (!fs::is_directory(path_, ignored)) {
      return tl::unexpected(fs::exists(path_, ignored) ? named + " is a linked work tree: name the repository that it belongs to"
                                                       : named + " is not a git repository");
    }
    auto git = OpenDirectory(path_, O_PATH);
    if (!git) return tl::unexpected(path_ + " cannot be opened: " + std::strerror(git.error().code));
    git_ = std::move(*git);
    if (!IsThere(git_.get(), "HEAD") || !IsThere(git_.get(), "objects")) return tl::unexpected(named + " is not a git repository");
    return {};
  }

  // With --file no other file is read and no command is run.
  Outcome<void> CheckConfiguration() const {
    const std::string text = TextOf(git_.get(), "config");
    const auto listing = repository_.Run({"config", "--file", "-", "--no-includes", "--list", "--name-only"}, text);
    if (!listing) return tl::unexpected(path_ + "/config is not understood: " + listing.error());
    for (const auto& [name, why] : {std::pair("extensions.partialclone\n", " is a partial clone: make a whole one of it first"),
                                    std::pair(".promisor\n", " is a partial clone: make a whole one of it first"),
                                    std::pair("extensions.refstorage\n", " keeps its branches in another form: clone it first")}) {
      if (listing->find(name) != std::string::npos) return tl::unexpected(path_ + why);
    }
    const auto format = repository_.Run({"config", "--file", "-", "--no-includes", "--get", "extensions.objectformat"}, text);
    if (format && FirstLine(*format) != "sha1") return tl::unexpected(path_ + " has object ids in another form than SHA-1");
    if (IsThere(git_.get(), "shallow")) return tl::unexpected(path_ + " is a shallow clone: run 'git fetch --unshallow' in it first");
    return {};
  }

  // The newest commit of the branch that is checked out there.
  [[nodiscard]] Outcome<std::string> Tip() const {
    const std::string head = FirstLine(TextOf(git_.get(), "HEAD"));
    const std::string mark = "ref: refs/heads/";
    if (!head.starts_with(mark)) return tl::unexpected(path_ + " has no branch checked out: run 'git checkout BRANCH' in it first");
    const std::string id = TipOf(git_.get(), head.substr(5));
    if (id.empty()) return tl::unexpected(path_ + " has no commit");
    if (id.size() != 40 || id.find_first_not_of("0123456789abcdef") != std::string::npos)
      return tl::unexpected(path_ + ": the branch that is checked out cannot be read");
    return id;
  }

  std::string path_;
  const Repository repository_;
  UniqueFd git_;
  std::string id_;
};

// Copies all objects of the branch.
Outcome<void> CopyObjects(const Borrowed& from, const Repository& to) {
  const UniqueFd pack(::open(to.directory().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!pack) return tl::unexpected("cannot write to " + to.directory() + ": " + std::strerror(errno));
  int problem = 0;
  std::string complaint;
  Command command = from.repository().GitCommand({"pack-objects", "--revs", "--stdout", "--quiet"});
  command.input = from.id() + "\n";
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
  if (!packed || *packed != 0) return tl::unexpected(from.path() + " cannot be read: " + complaint);
  ::lseek(pack.get(), 0, SEEK_SET);
  Command index = to.GitCommand({"index-pack", "--stdin", "--strict"});
  index.input_file = pack.get();
  index.error = [&](const std::string& line) { complaint = line; };
  const auto indexed = RunProcess(index);
  if (!indexed || *indexed != 0) return tl::unexpected("the objects of " + from.path() + " are damaged: " + complaint);
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
Outcome<void> RewriteBeneath(const Borrowed& from, const std::string& prefix, const Repository& to) {
  TIERFS_ASSIGN(const std::string exported, from.repository().Run({"fast-export", "--no-data", "--signed-tags=strip", "--reencode=no",
                                                                   "--use-done-feature", Repository::kRef}));
  TIERFS_ASSIGN(ImportStream stream, ImportStream::Open());
  TIERFS_TRY(PutBeneath(exported, prefix, stream));
  Command command = to.GitCommand({"fast-import", "--quiet", "--force"});
  TIERFS_ASSIGN(command.input_file, stream.Finish());
  std::string complaint;
  command.error = [&](const std::string& line) {
    if (complaint.empty()) complaint = line;
  };
  const auto imported = RunProcess(command);
  if (!imported || *imported != 0) return tl::unexpected("the history of " + from.path() + " could not be moved: " + complaint);
  return {};
}

}  // namespace

Outcome<void> Repository::CreateFrom(const std::string& other, const std::string& prefix) const {
  if (!prefix.empty() && WhyGitCannotHold(prefix) != nullptr) return tl::unexpected(Quoted(prefix) + " is not a path in the mount");
  TIERFS_ASSIGN(const auto from, Borrowed::Make(other, directory_ + ".borrowed"));
  TIERFS_TRY(Create());
  TIERFS_TRY(CopyObjects(*from, *this));
  TIERFS_TRY(from->CheckObjects());  // its owner may have changed it meanwhile
  if (!prefix.empty()) return RewriteBeneath(*from, prefix, *this);
  TIERFS_TRY(Run({"update-ref", kRef, from->id()}));
  return {};
}

}  // namespace tierfs::history
