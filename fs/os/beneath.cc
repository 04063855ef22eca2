#include "fs/os/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "fs/os/change_observer.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"

namespace tierfs {
namespace {

Result<UniqueFd> OpenAt2(int dir, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0 ? mode : 0;
  if (const int planned = Fault::Planned("openat2")) return Fail(planned, "openat2");
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    // EAGAIN: a rename elsewhere raced with the scoped walk; openat2(2) says to retry.
    if (errno != EAGAIN && errno != EINTR) return FailErrno("openat2");
  }
}

// Makes a file and tells the observer of it. An existing file is opened, and emptied with O_TRUNC,
// as open(2) does.
Result<UniqueFd> MakeFile(ChangeObserver& observer, int dir, const char* name, int flags, mode_t mode) {
  const auto open = [&](int more) { return UniqueFd(::openat(dir, name, (flags & ~O_TRUNC) | more | O_NOFOLLOW | O_CLOEXEC, mode)); };
  const bool named = (flags & O_CREAT) != 0;
  if (named) observer.BeforeEntry(dir, name, ChangeObserver::Fate::kStays);
  UniqueFd file = open(named ? O_EXCL : 0);
  if (file) {
    observer.Made(file.get(), "");
    return file;
  }
  if (!named || errno != EEXIST || (flags & O_EXCL) != 0) return FailErrno("openat");
  file = open(0);
  if (!file) return FailErrno("openat");
  if ((flags & O_TRUNC) == 0) return file;
  TIERFS_ASSIGN(const UniqueFd writer, Reopen(file.get(), O_WRONLY));
  TIERFS_TRY(Truncate(writer.get(), 0));
  return file;
}

}  // namespace

Result<UniqueFd> OpenBeneath(int root, const std::string& path, int flags, mode_t mode) {
  // The kernel takes at most PATH_MAX bytes in one call, so a longer path is opened in pieces.
  std::size_t start = 0;
  UniqueFd at;
  while (path.size() - start >= PATH_MAX) {
    const std::size_t slash = path.rfind('/', start + PATH_MAX - 1);
    if (slash == std::string::npos || slash <= start) return Fail(ENAMETOOLONG, "openat2");
    TIERFS_ASSIGN(at, OpenAt2(at ? at.get() : root, path.substr(start, slash - start).c_str(), O_PATH | O_DIRECTORY, 0));
    start = slash + 1;
  }
  return OpenAt2(at ? at.get() : root, start == path.size() ? "." : path.c_str() + start, flags, mode);
}

Result<UniqueFd> OpenEntry(int dir, const char* name, int flags, mode_t mode) {
  if (const int planned = Fault::Planned("openat")) return Fail(planned, "openat");
  constexpr int kTemporary = O_TMPFILE & ~O_DIRECTORY;
  ChangeObserver* const observer = (flags & (O_CREAT | kTemporary)) != 0 ? ChangeObserver::Now() : nullptr;
  if (observer != nullptr) return MakeFile(*observer, dir, name, flags, mode);
  const int fd = ::openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0) return FailErrno("openat");
  return UniqueFd(fd);
}

Result<struct stat> StatEntry(int dir, const char* name) {
  if (const int planned = Fault::Planned("fstatat")) return Fail(planned, "fstatat");
  struct stat st;
  if (::fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return FailErrno("fstatat");
  return st;
}

Result<struct stat> StatFd(int fd) {
  if (const int planned = Fault::Planned("fstat")) return Fail(planned, "fstat");
  struct stat st;
  if (::fstatat(fd, "", &st, AT_EMPTY_PATH) != 0) return FailErrno("fstat");
  return st;
}

Status SyncDirectory(int dir) {
  TIERFS_ASSIGN(const UniqueFd real, OpenEntry(dir, ".", O_RDONLY | O_DIRECTORY));
  return Sync(real.get());
}

std::string ProcPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string ProcPath(int dir, const char* name) { return ProcPath(dir) + "/" + name; }

}  // namespace tierfs
