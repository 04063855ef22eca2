#include "fs/catalog/checksum.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <memory>
#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

constexpr std::size_t kPiece = std::size_t{1} << 18;

}  // namespace

Result<std::string> ChecksumOf(int file, const std::function<bool(std::size_t)>& progress) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  if (!state || XXH3_128bits_reset(state.get()) == XXH_ERROR) return Fail(ENOMEM, "checksum");
  std::vector<char> buffer(kPiece);
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(file, buffer.data(), buffer.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FailErrno("read for a checksum");
    if (got == 0) break;
    at += got;
    XXH3_128bits_update(state.get(), buffer.data(), static_cast<std::size_t>(got));
    if (!progress(static_cast<std::size_t>(got))) return Fail(ECANCELED, "checksum");
  }
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state.get()));
  return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest);
}

std::string HexOf(const std::string& hash) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : hash) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

bool IsAsRecorded(int file, const Row& row) {
  const auto st = StatFd(file);
  if (!st) return false;
  const Observed now = ObservedOf(*st);
  return now.IsFile() && row.seen.ctime != 0 && now.inode == row.seen.inode && now.size == row.seen.size && now.mtime == row.seen.mtime &&
         now.ctime == row.seen.ctime;
}

Result<UniqueFd> OpenAsRecorded(int root, const Row& row) {
  auto file = OpenBeneath(root, row.path, O_RDONLY | O_NONBLOCK | O_NOATIME);
  if (!file && file.error().code == EPERM) file = OpenBeneath(root, row.path, O_RDONLY | O_NONBLOCK);
  if (!file) return file;
  if (!IsAsRecorded(file->get(), row) || HasWriters(file->get(), true)) return Fail(EAGAIN, "checksum of a file in use");
  return file;
}

}  // namespace tierfs
