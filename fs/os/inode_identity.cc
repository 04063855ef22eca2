#include "fs/os/inode_identity.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace tierfs {

Result<std::uint64_t> InodeIdentity(int dir, const char* name) {
  struct statx st {};
  if (::statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &st) != 0) return FailErrno("statx");
  std::uint64_t identity = st.stx_ino;
  if ((st.stx_mask & STATX_BTIME) != 0) {
    const std::uint64_t born = static_cast<std::uint64_t>(st.stx_btime.tv_sec) * 1'000'000'000 + st.stx_btime.tv_nsec;
    identity ^= born * 0x9E3779B97F4A7C15ULL;
  }
  return identity == 0 ? 1 : identity;
}

}  // namespace tierfs
