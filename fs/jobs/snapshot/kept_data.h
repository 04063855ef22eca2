// The content of one file as it was at the instant of a snapshot.
#pragma once

#include <cstdint>
#include <map>

#include "fs/jobs/snapshot/store.h"
#include "fs/os/mutex.h"

namespace tierfs::snapshot {

// Knows which parts of the file have changed since, and has their former bytes. The parts that have
// not changed are read from the file itself. A part is kept before it changes; so what was read
// from the file is right if the part is still not kept afterwards. Thread-safe.
class KeptData {
 public:
  // `size`: of the file at the instant.
  KeptData(Store& store, off_t size) : store_(store), size_(size) {}

  // Keeps the parts of the file that hold these bytes. On return they may change. Shares the blocks
  // of the whole file if the file system can.
  [[nodiscard]] Status Keep(int file, off_t offset, off_t length);
  // Whether all of the file is kept, so that nothing more has to be.
  [[nodiscard]] bool Complete() const;

  // `buffer` holds what was just read from the file at `offset`, and zeros after its end. Puts the
  // kept bytes over it.
  [[nodiscard]] Status Overlay(char* buffer, std::size_t size, off_t offset) const;
  // Where the file has data, or a hole, at or after `offset`, as lseek(2) answers for SEEK_DATA and
  // SEEK_HOLE. `file` is the file itself.
  [[nodiscard]] Result<off_t> Seek(int file, off_t offset, int whence) const;

 private:
  static constexpr off_t kPart = 65536;
  static constexpr off_t kHole = -1;
  static constexpr off_t kNotShared = -1;

  [[nodiscard]] Status KeepPart(int file, std::uint64_t part) REQUIRES(mutex_);
  [[nodiscard]] off_t EndOf(std::uint64_t part) const { return std::min(size_, static_cast<off_t>(part + 1) * kPart); }
  [[nodiscard]] std::uint64_t CountParts() const { return static_cast<std::uint64_t>((size_ + kPart - 1) / kPart); }
  // Whether the byte is kept, and then whether it is data; and where the next answer may differ.
  struct Extent {
    bool kept;
    bool data;
    off_t end;
  };
  [[nodiscard]] Extent At(off_t offset) const REQUIRES(mutex_);

  Store& store_;
  const off_t size_;
  mutable Mutex mutex_;
  bool share_ GUARDED_BY(mutex_) = true;          // until the file system has said that it cannot
  off_t shared_ GUARDED_BY(mutex_) = kNotShared;  // where the store shares the file
  off_t shared_end_ GUARDED_BY(mutex_) = 0;       // how much of the file it shares
  // Where the store has each part; kHole for a part without data.
  std::map<std::uint64_t, off_t> parts_ GUARDED_BY(mutex_);
};

}  // namespace tierfs::snapshot
