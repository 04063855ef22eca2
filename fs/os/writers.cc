#include "fs/os/writers.h"

#include <fcntl.h>
#include <sys/vfs.h>

#include <cerrno>
#include <csignal>

namespace tierfs {
namespace {

// linux/magic.h. tmpfs never writes pages back, so no page becomes read-only again and the next
// store goes unnoticed.
constexpr long kTmpfs = 0x01021994;
constexpr long kRamfs = 0x858458f6;

}  // namespace

bool HasWriters(int file, bool unknown) {
  static const auto ignored = ::signal(SIGIO, SIG_IGN);
  if (ignored == SIG_ERR) return unknown;
  // The kernel grants a read lease only if the file is not open for writing. A writable mapping
  // counts as open for writing (fcntl(2)).
  if (::fcntl(file, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN || unknown;
  ::fcntl(file, F_SETLEASE, F_UNLCK);
  return false;
}

bool StoresMoveTimes(int file) {
  struct statfs fs {};
  return ::fstatfs(file, &fs) == 0 && fs.f_type != kTmpfs && fs.f_type != kRamfs;
}

}  // namespace tierfs
