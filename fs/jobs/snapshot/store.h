// Where a snapshot keeps the bytes that were overwritten since.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs::snapshot {

// Counts the bytes that all stores of a snapshot hold. Thread-safe.
class Budget {
 public:
  explicit Budget(std::uint64_t limit) : limit_(limit) {}
  // Returns false, and takes nothing, if that would be more than the limit.
  [[nodiscard]] bool Take(std::uint64_t bytes);
  [[nodiscard]] bool Has(std::uint64_t bytes) const { return bytes <= limit_ && used() <= limit_ - bytes; }
  [[nodiscard]] std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }

 private:
  const std::uint64_t limit_;
  std::atomic<std::uint64_t> used_{0};
};

// Owns a file without a name. Its space is free again when the store is destroyed, or the process
// dies. Nothing in it is durable. Thread-safe.
class Store {
 public:
  // `directory` says on which file system. EOPNOTSUPP if that has no O_TMPFILE.
  [[nodiscard]] static Result<std::unique_ptr<Store>> Make(int directory, Budget& budget);

  // Copies these bytes of a file. Returns where they are in the store. EDQUOT if the budget is used
  // up.
  [[nodiscard]] Result<off_t> Copy(int from, off_t offset, std::size_t length);
  // Shares the first `length` bytes of a file, whole blocks of it (FICLONERANGE,
  // ioctl_ficlonerange(2)). Takes nothing from the budget. Returns where they are in the store.
  // EOPNOTSUPP if the file system cannot do that, or not with this file.
  [[nodiscard]] Result<off_t> Clone(int from, off_t length);
  // ENODATA if there are fewer bytes.
  [[nodiscard]] Status Read(char* buffer, std::size_t size, off_t at) const;
  [[nodiscard]] bool HasRoomFor(std::uint64_t bytes) const { return budget_.Has(bytes); }
  [[nodiscard]] int file() const { return file_.get(); }

 private:
  Store(UniqueFd file, Budget& budget) : file_(std::move(file)), budget_(budget) {}

  UniqueFd file_;
  Budget& budget_;
  std::atomic<off_t> end_{0};
  std::atomic<bool> clones_{true};  // until the file system has said that it cannot
};

}  // namespace tierfs::snapshot
