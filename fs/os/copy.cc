#include "fs/os/copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "fs/os/transfer.h"

namespace tierfs {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

// copy_file_range fails with these errors if it cannot copy between the two files. The data is then
// copied by read and write.
bool MustCopyByHand(int error) {
  return error == EXDEV || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP || error == ETXTBSY || error == EPERM;
}

// The two files of a copy and how they relate.
struct Pair {
  int from;
  int to;
  // The source has holes, and its file system cannot report them (squashfs).
  bool holes;
};

constexpr off_t kBlock = 4096;

bool IsZero(const char* data, std::size_t size) { return *data == 0 && std::memcmp(data, data + 1, size - 1) == 0; }

// Leaves blocks of zeros as holes.
Status WriteWithHoles(int to, const char* data, off_t size, off_t at) {
  for (off_t begin = 0; begin < size;) {
    const off_t length = std::min(kBlock - (at + begin) % kBlock, size - begin);
    if (!IsZero(data + begin, static_cast<std::size_t>(length)))
      TIERFS_TRY(WriteAt(to, data + begin, static_cast<std::size_t>(length), at + begin));
    begin += length;
  }
  return {};
}

Status CopyByHand(const Pair& files, off_t at, off_t end) {
  std::vector<char> buffer(kChunk);
  while (at < end) {
    const ssize_t got = ::pread(files.from, buffer.data(), std::min<off_t>(kChunk, end - at), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("pread while copying");
    if (got == 0) return {};
    TIERFS_TRY(files.holes ? WriteWithHoles(files.to, buffer.data(), got, at)
                           : WriteAt(files.to, buffer.data(), static_cast<std::size_t>(got), at));
    at += got;
  }
  return {};
}

Status CopyExtent(const Pair& files, off_t at, off_t end) {
  if (files.holes) return CopyByHand(files, at, end);
  while (at < end) {
    off_t in = at;
    off_t out = at;
    const ssize_t done = ::copy_file_range(files.from, &in, files.to, &out, static_cast<std::size_t>(end - at), 0);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && MustCopyByHand(errno)) return CopyByHand(files, at, end);
    if (done < 0) return FailErrno("copy_file_range");
    // Some file systems return 0 for data that they cannot splice (proc, sysfs images). A read
    // shows whether the file has really ended.
    if (done == 0) return CopyByHand(files, at, end);
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
  constexpr off_t kSector = 512;
  const bool holes = st.st_blocks * kSector < st.st_size && ::lseek(from, 0, SEEK_HOLE) == st.st_size && ::lseek(from, 0, SEEK_DATA) == 0;
  const Pair files{from, to, holes};
  for (off_t at = 0; at < size;) {
    const off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};  // only a hole is left
    if (data < 0) return CopyExtent(files, at, size);
    const off_t hole = ::lseek(from, data, SEEK_HOLE);
    const off_t end = hole < 0 ? size : std::min(hole, size);
    TIERFS_TRY(CopyExtent(files, data, end));
    at = std::max(end, data);
    if (data >= size) return {};
  }
  return {};
}

}  // namespace tierfs
