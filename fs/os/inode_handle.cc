#include "fs/os/inode_handle.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include <cstring>
#include <limits>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"

namespace tierfs {
namespace {

// A struct file_handle with room for its bytes.
struct Handle {
  unsigned size = MAX_HANDLE_SZ;
  int type = 0;
  unsigned char bytes[MAX_HANDLE_SZ] = {};

  [[nodiscard]] file_handle* Get() { return reinterpret_cast<file_handle*>(this); }
  template <typename T>
  [[nodiscard]] T At(std::size_t offset) const {
    T value;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
  }
  template <typename T>
  void Set(std::size_t offset, T value) {
    std::memcpy(bytes + offset, &value, sizeof value);
  }
};
static_assert(sizeof(Handle) == sizeof(file_handle) + MAX_HANDLE_SZ);

// Where a handle has the inode number and the generation.
struct Form {
  std::size_t inode_size;
  std::size_t generation;  // its offset
};

// The types are those of include/linux/exportfs.h: FILEID_INO32_GEN, FILEID_INO64_GEN (with the
// flag of XFS for 64 bits), FILEID_BTRFS_WITHOUT_PARENT.
Result<Form> FormOf(const Handle& handle, std::uint64_t inode) {
  Form form{};
  if (handle.type == 0x1 && handle.size == 8) {
    form = {4, 4};
  } else if (handle.type == 0x81 && handle.size == 12) {
    form = {8, 8};
  } else if (handle.type == 0x4d && handle.size == 20) {
    form = {8, 16};
  } else {
    return Fail(EOPNOTSUPP, "file handle of an unknown form");
  }
  const std::uint64_t there = form.inode_size == 4 ? handle.At<std::uint32_t>(0) : handle.At<std::uint64_t>(0);
  if (there != inode) return Fail(ESTALE, "file handle of another inode");
  return form;
}

Result<Handle> HandleOf(int dir, const char* name) {
  if (const int planned = Fault::Planned("name_to_handle_at")) return Fail(planned, "name_to_handle_at");
  Handle handle;
  int mount = 0;
  if (::name_to_handle_at(dir, name, handle.Get(), &mount, *name == '\0' ? AT_EMPTY_PATH : 0) != 0) return FailErrno("name_to_handle_at");
  return handle;
}

constexpr long kXfs = 0x58465342;

// xfs_bulkstat_req of xfs_fs.h, with room for one inode.
struct XfsBulkstat {
  std::uint64_t inode;
  std::uint32_t flags;
  std::uint32_t wanted;
  std::uint32_t got;
  std::uint32_t group;
  std::uint64_t reserved[5];
  std::uint64_t found;
  std::uint64_t sizes_and_times[7];
  std::uint32_t generation;
  unsigned char rest[124];
};
static_assert(sizeof(XfsBulkstat) == 64 + 192);
constexpr unsigned long kXfsBulkstat = _IOC(_IOC_READ, 'X', 127, 64);

// XFS opens an inode only with its generation. The others take 0 for any (ext4_nfs_get_inode,
// btrfs_get_dentry).
Result<std::uint32_t> GenerationFor(int root, std::uint64_t inode) {
  struct statfs st {};
  if (::fstatfs(root, &st) != 0) return FailErrno("fstatfs");
  if (st.f_type != kXfs) return 0;
  XfsBulkstat ask{};
  ask.inode = inode;
  ask.wanted = 1;
  if (::ioctl(root, kXfsBulkstat, &ask) != 0) return FailErrno("XFS_IOC_BULKSTAT");
  if (ask.got != 1 || ask.found != inode) return Fail(ESTALE, "no such inode");
  return ask.generation;
}

}  // namespace

Result<std::uint32_t> GenerationOf(int dir, const char* name, std::uint64_t inode) {
  TIERFS_ASSIGN(const Handle handle, HandleOf(dir, name));
  TIERFS_ASSIGN(const Form form, FormOf(handle, inode));
  return handle.At<std::uint32_t>(form.generation);
}

Result<UniqueFd> OpenInode(int root, std::uint64_t inode) {
  TIERFS_ASSIGN(const UniqueFd readable, Reopen(root, O_RDONLY | O_DIRECTORY));
  TIERFS_ASSIGN(const struct stat root_stat, StatFd(root));
  TIERFS_ASSIGN(Handle handle, HandleOf(root, ""));
  TIERFS_ASSIGN(const Form form, FormOf(handle, root_stat.st_ino));
  if (form.inode_size == 4) {
    if (inode > std::numeric_limits<std::uint32_t>::max()) return Fail(ESTALE, "no such inode");
    handle.Set(0, static_cast<std::uint32_t>(inode));
  } else {
    handle.Set(0, inode);
  }
  TIERFS_ASSIGN(const std::uint32_t generation, GenerationFor(readable.get(), inode));
  handle.Set(form.generation, generation);
  if (const int planned = Fault::Planned("open_by_handle_at")) return Fail(planned, "open_by_handle_at");
  UniqueFd fd(::open_by_handle_at(readable.get(), handle.Get(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return FailErrno("open_by_handle_at");
  TIERFS_ASSIGN(const struct stat st, StatFd(fd.get()));
  if (st.st_ino != inode || st.st_dev != root_stat.st_dev) return Fail(ESTALE, "another inode");
  return fd;
}

}  // namespace tierfs
