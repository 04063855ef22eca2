#include "fs/os/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

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
