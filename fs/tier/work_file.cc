#include "fs/tier/work_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"

namespace tierfs {
namespace {

// Copies of an earlier daemon may still be there, so names begin with the time of the first one.
std::string NextName() {
  static const auto start = std::chrono::system_clock::now().time_since_epoch().count();
  static std::atomic<std::uint64_t> last{0};
  return "copy-" + std::to_string(start) + "-" + std::to_string(++last);
}

// Returns the flags that the copy still lacks.
Result<int> CopyRegular(const UniqueFd& from, const struct stat& st, int dir, const char* name, off_t limit) {
  TIERFS_ASSIGN(const UniqueFd to, OpenEntry(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600));
  TIERFS_ASSIGN(const int lacks, CloneFileFlags(from.get(), to.get()));
  TIERFS_TRY(CopyFileData(from.get(), to.get(), limit));
  TIERFS_TRY(CloneAttributes(from.get(), st, to.get()));
  TIERFS_TRY(Sync(to.get()));
  return lacks;
}

Status CopySpecial(const UniqueFd& from, const struct stat& st, int dir, const char* name) {
  if (S_ISLNK(st.st_mode)) {
    TIERFS_ASSIGN(const std::string target, ReadLinkEntry(from.get(), ""));
    TIERFS_TRY(MakeSymlinkEntry(target.c_str(), dir, name));
  } else {
    TIERFS_TRY(MakeNodeEntry(dir, name, (st.st_mode & S_IFMT) | 0600, st.st_rdev));
  }
  TIERFS_ASSIGN(const UniqueFd to, OpenEntry(dir, name, O_PATH));
  return CloneAttributes(from.get(), st, to.get());
}

}  // namespace

WorkFile::WorkFile(WorkFile&& other) noexcept
    : dir_(other.dir_), names_(std::move(other.names_)), st_(other.st_), forbidding_flags_(other.forbidding_flags_) {
  other.names_.clear();
}

WorkFile::~WorkFile() {
  // If this fails, the next mount removes the file.
  for (const std::string& name : names_) (void)RemoveEntry(dir_, name.c_str());
}

Status WorkFile::GiveNames(std::size_t count) {
  if (names_.size() >= count) return {};
  while (names_.size() < count) {
    std::string next = NextName();
    TIERFS_TRY(LinkEntry(dir_, name().c_str(), dir_, next.c_str()));
    names_.push_back(std::move(next));
  }
  return SyncDirectory(dir_);
}

Result<WorkFile> WorkFile::CopyOf(const Layer& tier, int dir, const char* name, off_t limit) {
  UniqueFd from;
  if (*name == '\0') {
    TIERFS_ASSIGN(from, Reopen(dir, O_PATH));
  } else {
    TIERFS_ASSIGN(from, OpenEntry(dir, name, O_PATH));
  }
  TIERFS_ASSIGN(const struct stat st, StatFd(from.get()));
  WorkFile copy(tier.work.get(), NextName());
  if (S_ISREG(st.st_mode)) {
    // Opening through the descriptor makes sure that the file read is the file examined.
    TIERFS_ASSIGN(const UniqueFd data, Reopen(from.get(), O_RDONLY));
    TIERFS_ASSIGN(copy.forbidding_flags_, CopyRegular(data, st, copy.dir_, copy.name().c_str(), limit));
  } else {
    TIERFS_TRY(CopySpecial(from, st, copy.dir_, copy.name().c_str()));
  }
  TIERFS_ASSIGN(copy.st_, StatEntry(copy.dir_, copy.name().c_str()));
  return copy;
}

}  // namespace tierfs
