#include "fs/os/writers.h"

#include <fcntl.h>
#include <sys/vfs.h>

#include <cerrno>
#include <csignal>

namespace tierfs {
namespace {

// linux/magic.h. Nothing is ever written back there, so no page becomes read-only again for the
// next store to be noticed.
constexpr long kTmpfs = 0x01021994;
constexpr long kRamfs = 0x858458f6;

}  // namespace

bool HasWriters(int file, bool unknown) {
  static const auto ignored = ::signal(SIGIO, SIG_IGN);
  if (ignored == SIG_ERR) return unknown;
  // A read lease is granted only where nobody has the file open for writing, which a writable
  // mapping counts as (fcntl(2)).
  if (::fcntl(file, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN || unknown;
  ::fcntl(file, F_SETLEASE, F_UNLCK);
  return false;
}

bool StoresMoveTimes(int file) {
  struct statfs fs {};
  return ::fstatfs(file, &fs) == 0 && fs.f_type != kTmpfs && fs.f_type != kRamfs;
}

}  // namespace tierfs
