#include "tests/mount/unmount.h"

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

namespace tierfs::test {

int UnmountWhenFree(const std::string& mountpoint) {
  for (int i = 0; i < 6000; ++i) {
    if (::umount2(mountpoint.c_str(), 0) == 0) return 0;
    if (errno != EBUSY) return errno;
    ::usleep(10'000);
  }
  return EBUSY;
}

}  // namespace tierfs::test
