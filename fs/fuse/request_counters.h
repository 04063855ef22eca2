// Counts the kernel's requests by kind. The counts show the cost of a user's operation and whether
// the kernel's caches work.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace tierfs {

enum class Opcode {
  kLookup,
  kForget,
  kGetAttr,
  kSetAttr,
  kReadLink,
  kMakeNode,
  kMakeDirectory,
  kMakeSymlink,
  kLink,
  kUnlink,
  kRemoveDirectory,
  kRename,
  kStatFs,
  kSetXattr,
  kGetXattr,
  kListXattr,
  kRemoveXattr,
  kOpen,
  kCreate,
  kTmpFile,
  kRelease,
  kRead,
  kWrite,
  kFsync,
  kFallocate,
  kLseek,
  kCopyFileRange,
  kOpenDir,
  kReadDir,
  kReadDirPlus,
  kFsyncDir,
  kIoctl,
  kCount,
};

// Owns the counts. Thread-safe; one count costs one relaxed addition.
class RequestCounters {
 public:
  void Add(Opcode opcode) { counts_[static_cast<std::size_t>(opcode)].fetch_add(1, std::memory_order_relaxed); }
  // Returns the counts that are not 0, by the name that FUSE gives them.
  [[nodiscard]] std::map<std::string, std::uint64_t> Read() const;

 private:
  std::array<std::atomic<std::uint64_t>, static_cast<std::size_t>(Opcode::kCount)> counts_{};
};

}  // namespace tierfs
