#include "fs/os/copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace tierfs {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

// copy_file_range fails with these where the two files cannot do it together; then plain reading and writing does.
bool MustCopyByHand(int error) {
  return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ETXTBSY || error == EPERM;
}

Status CopyByHand(int from, int to, off_t at, off_t end) {
  std::vector<char> buffer(kChunk);
  while (at < end) {
    const ssize_t got = ::pread(from, buffer.data(), std::min<off_t>(kChunk, end - at), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("pread while copying");
    if (got == 0) return {};
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(got - done), at + done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return FailErrno("pwrite while copying");
      done += put;
    }
    at += got;
  }
  return {};
}

Status CopyExtent(int from, int to, off_t at, off_t end) {
  while (at < end) {
    off_t in = at;
    off_t out = at;
    const ssize_t done = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - at), 0);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && MustCopyByHand(errno)) return CopyByHand(from, to, at, end);
    if (done < 0) return FailErrno("copy_file_range");
    // Some file systems answer 0 for what they cannot splice (proc, sysfs images): reading tells the truth.
    if (done == 0) return CopyByHand(from, to, at, end);
    at += done;
  }
  return {};
}

}  // namespace

Status CopyFileData(int from, int to, off_t limit) {
  struct stat st;
  if (::fstat(from, &st) != 0) return FailErrno("fstat");
  const off_t size = std::min(st.st_size, limit);
  if (size == st.st_size && ::ioctl(to, FICLONE, from) == 0) return {};
  if (::ftruncate(to, size) != 0) return FailErrno("ftruncate");
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};  // only a hole is left
    if (data < 0) return CopyExtent(from, to, at, size);
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    const off_t end = hole < 0 ? size : std::min(hole, size);
    TIERFS_TRY(CopyExtent(from, to, data, end));
    at = std::max(end, data);
    if (data >= size) return {};
  }
  return {};
}

}  // namespace tierfs
