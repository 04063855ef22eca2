#include "fs/os/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tierfs {

Result<std::uint64_t> MountOf(int fd) {
  struct statx st {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) != 0) return FailErrno("statx");
  return std::uint64_t{st.stx_mnt_id};
}

Result<UniqueFd> CloneNoatime(int root) {
  UniqueFd copy(static_cast<int>(::syscall(SYS_open_tree, root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE)));
  if (!copy) return FailErrno("open_tree");
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_NOATIME;
  attr.attr_clr = MOUNT_ATTR__ATIME;
  if (::syscall(SYS_mount_setattr, copy.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return FailErrno("mount_setattr");
  }
  return copy;
}

}  // namespace tierfs
