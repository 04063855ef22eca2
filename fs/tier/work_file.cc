#include "fs/tier/work_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <climits>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"

namespace tierfs {
namespace {

std::string NextName() {
  static std::atomic<std::uint64_t> last{0};
  return "copy-" + std::to_string(++last);
}

Status CopyRegular(const UniqueFd& from, const struct stat& st, int dir, const char* name, off_t limit) {
  TIERFS_ASSIGN(const UniqueFd to, OpenEntry(dir, name, O_RDWR | O_CREAT | O_EXCL, 0600));
  TIERFS_TRY(CopyFileData(from.get(), to.get(), limit));
  TIERFS_TRY(CloneAttributes(from.get(), st, to.get()));
  if (::fsync(to.get()) != 0) return FailErrno("fsync of a copy");
  return {};
}

Status CopySpecial(const UniqueFd& from, const struct stat& st, int dir, const char* name) {
  if (S_ISLNK(st.st_mode)) {
    std::string target(PATH_MAX, '\0');
    const ssize_t length = ::readlinkat(from.get(), "", target.data(), target.size() - 1);
    if (length < 0) return FailErrno("readlinkat");
    target.resize(static_cast<std::size_t>(length));
    if (::symlinkat(target.c_str(), dir, name) != 0) return FailErrno("symlinkat");
  } else if (::mknodat(dir, name, (st.st_mode & S_IFMT) | 0600, st.st_rdev) != 0) {
    return FailErrno("mknodat");
  }
  TIERFS_ASSIGN(const UniqueFd to, OpenEntry(dir, name, O_PATH));
  return CloneAttributes(from.get(), st, to.get());
}

}  // namespace

WorkFile::WorkFile(WorkFile&& other) noexcept : dir_(other.dir_), name_(std::move(other.name_)), st_(other.st_) { other.name_.clear(); }

WorkFile::~WorkFile() {
  if (!name_.empty()) ::unlinkat(dir_, name_.c_str(), 0);
}

Result<WorkFile> WorkFile::CopyOf(const Layer& tier, int dir, const char* name, off_t limit) {
  UniqueFd from;
  if (*name == '\0') {
    from = UniqueFd(::open(ProcPath(dir).c_str(), O_PATH | O_CLOEXEC));
    if (!from) return FailErrno("open of a file to copy");
  } else {
    TIERFS_ASSIGN(from, OpenEntry(dir, name, O_PATH));
  }
  TIERFS_ASSIGN(const struct stat st, StatFd(from.get()));
  WorkFile copy(tier.work.get(), NextName());
  if (S_ISREG(st.st_mode)) {
    // Opened through the descriptor: what was looked at is what is read.
    UniqueFd data(::open(ProcPath(from.get()).c_str(), O_RDONLY | O_CLOEXEC));
    if (!data) return FailErrno("open of a file to copy");
    TIERFS_TRY(CopyRegular(data, st, copy.dir_, copy.name_.c_str(), limit));
  } else {
    TIERFS_TRY(CopySpecial(from, st, copy.dir_, copy.name_.c_str()));
  }
  TIERFS_ASSIGN(copy.st_, StatEntry(copy.dir_, copy.name_.c_str()));
  return copy;
}

}  // namespace tierfs
