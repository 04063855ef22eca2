#include "fs/fuse/request_counters.h"

namespace tierfs {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Opcode::kCount)> kNames = {
    "lookup", "forget", "getattr",   "setattr",  "readlink",        "mknod",       "mkdir",   "symlink",     "link",     "unlink",  "rmdir",
    "rename", "statfs", "setxattr",  "getxattr", "listxattr",       "removexattr", "open",    "create",      "tmpfile",  "release", "read",
    "write",  "fsync",  "fallocate", "lseek",    "copy_file_range", "opendir",     "readdir", "readdirplus", "fsyncdir", "ioctl",
};
static_assert(kNames.back() != nullptr);

}  // namespace

std::map<std::string, std::uint64_t> RequestCounters::Read() const {
  std::map<std::string, std::uint64_t> read;
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (const auto count = counts_[i].load(std::memory_order_relaxed); count != 0) read[kNames[i]] = count;
  }
  return read;
}

}  // namespace tierfs
