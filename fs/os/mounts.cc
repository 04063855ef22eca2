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

namespace {

Result<UniqueFd> CloneWith(int root, std::uint64_t set, std::uint64_t clear) {
  UniqueFd copy(static_cast<int>(::syscall(SYS_open_tree, root, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE)));
  if (!copy) return FailErrno("open_tree");
  if (set == 0 && clear == 0) return copy;
  mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  if (::syscall(SYS_mount_setattr, copy.get(), "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) != 0) {
    return FailErrno("mount_setattr");
  }
  return copy;
}

}  // namespace

Result<UniqueFd> ClonePrivate(int root, bool noatime) {
  return noatime ? CloneWith(root, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME) : CloneWith(root, 0, 0);
}

Result<UniqueFd> CloneReadOnly(int directory) { return CloneWith(directory, MOUNT_ATTR_RDONLY, 0); }

Status MountOver(int copy, int place) {
  if (::syscall(SYS_move_mount, copy, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return FailErrno("move_mount");
  }
  return {};
}

}  // namespace tierfs
