#include "fs/jobs/snapshot/store.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/transfer.h"

namespace tierfs::snapshot {
namespace {

// A clone begins and ends on a block. File systems with larger ones are rare.
constexpr off_t kAlignment = 65536;

off_t RoundedUp(off_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

bool Budget::Take(std::uint64_t bytes) {
  std::uint64_t used = used_.load(std::memory_order_relaxed);
  while (bytes <= limit_ && used <= limit_ - bytes) {
    if (used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed)) return true;
  }
  return false;
}

Result<std::unique_ptr<Store>> Store::Make(int directory, Budget& budget) {
  TIERFS_ASSIGN(UniqueFd file, OpenEntry(directory, ".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
  return std::unique_ptr<Store>(new Store(std::move(file), budget));
}

Result<off_t> Store::Copy(int from, off_t offset, std::size_t length) {
  if (!budget_.Take(length)) return Fail(EDQUOT, "the store is full");
  std::vector<char> bytes(length);
  TIERFS_ASSIGN(const std::size_t got, ReadAt(from, bytes.data(), length, offset));
  const off_t at = end_.fetch_add(RoundedUp(static_cast<off_t>(length)), std::memory_order_relaxed);
  // What is beyond the end of the file, because it was cut a moment ago, stays zeros.
  std::fill(bytes.begin() + static_cast<std::ptrdiff_t>(got), bytes.end(), '\0');
  TIERFS_TRY(WriteAt(file_.get(), bytes.data(), length, at));
  return at;
}

Result<off_t> Store::Clone(int from, off_t length) {
  if (!clones_.load(std::memory_order_relaxed)) return Fail(EOPNOTSUPP, "FICLONERANGE");
  if (const int planned = Fault::Planned("ficlonerange")) return Fail(planned, "FICLONERANGE");
  const off_t at = end_.fetch_add(RoundedUp(length), std::memory_order_relaxed);
  const file_clone_range range{from, 0, static_cast<std::uint64_t>(length), static_cast<std::uint64_t>(at)};
  if (::ioctl(file_.get(), FICLONERANGE, &range) == 0) return at;
  const int error = errno;
  if (error == EOPNOTSUPP || error == ENOTTY || error == EXDEV) clones_.store(false, std::memory_order_relaxed);
  // EINVAL: larger blocks, or a file that is never shared (btrfs: NOCOW). EPERM, ETXTBSY: this
  // file.
  const bool not_this_way = error == EINVAL || error == EPERM || error == ETXTBSY || !clones_.load(std::memory_order_relaxed);
  return Fail(not_this_way ? EOPNOTSUPP : error, "FICLONERANGE");
}

Status Store::Read(char* buffer, std::size_t size, off_t at) const {
  TIERFS_ASSIGN(const std::size_t got, ReadAt(file_.get(), buffer, size, at));
  if (got != size) return Fail(ENODATA, "the store is too short");
  return {};
}

}  // namespace tierfs::snapshot
