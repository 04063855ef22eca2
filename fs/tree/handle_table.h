// Open files, by handle number.
#pragma once

#include <fcntl.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/os/unique_fd.h"
#include "fs/tree/node.h"
#include "fs/tree/small_mutex.h"

namespace tierfs {

// The kernel's number for an open file; 0 means none.
struct HandleId {
  std::uint64_t value = 0;
};

// The route that the data of an open file takes.
enum class DataMode {
  kCached,       // through the daemon and the kernel's page cache
  kDirect,       // through the daemon alone
  kPassthrough,  // in the kernel, on the backing file
};

// One handle of an open file. Owns the descriptor of the backing file.
struct OpenFile {
  OpenFile(NodePtr of, UniqueFd fd, int open_flags)
      : node(std::move(of)),
        flags(open_flags),
        writer((open_flags & O_ACCMODE) != O_RDONLY),
        data_(std::make_shared<const UniqueFd>(std::move(fd))) {}

  // The backing file. It stays open while the caller holds the pointer.
  [[nodiscard]] std::shared_ptr<const UniqueFd> Data() const {
    const Lock lock(mutex_);
    return data_;
  }
  // Switches to another backing file. Reads that are under way end on the old one.
  void Follow(UniqueFd fd) {
    auto data = std::make_shared<const UniqueFd>(std::move(fd));
    const Lock lock(mutex_);
    data_.swap(data);
  }

  const NodePtr node;
  const int flags;
  const bool writer;
  DataMode mode = DataMode::kCached;

 private:
  // Not std::atomic<std::shared_ptr>: GCC 12 ends its load with relaxed order, so a store may
  // overlap it.
  mutable SmallMutex mutex_;
  std::shared_ptr<const UniqueFd> data_ GUARDED_BY(mutex_);
};

// Owns the open files. Thread-safe; the mutex is a leaf.
class HandleTable {
 public:
  [[nodiscard]] HandleId Add(std::shared_ptr<OpenFile> file) {
    const Lock lock(mutex_);
    const HandleId id{++last_};
    files_[id.value] = std::move(file);
    return id;
  }
  [[nodiscard]] std::shared_ptr<OpenFile> Get(HandleId id) const {
    const Lock lock(mutex_);
    const auto found = files_.find(id.value);
    return found == files_.end() ? nullptr : found->second;
  }
  [[nodiscard]] std::shared_ptr<OpenFile> Remove(HandleId id) {
    const Lock lock(mutex_);
    const auto found = files_.find(id.value);
    if (found == files_.end()) return nullptr;
    auto file = std::move(found->second);
    files_.erase(found);
    return file;
  }
  [[nodiscard]] std::vector<std::shared_ptr<OpenFile>> All() const {
    const Lock lock(mutex_);
    std::vector<std::shared_ptr<OpenFile>> all;
    for (const auto& [id, file] : files_) all.push_back(file);
    return all;
  }
  // Those that can write.
  [[nodiscard]] std::vector<std::shared_ptr<OpenFile>> Writers() const {
    const Lock lock(mutex_);
    std::vector<std::shared_ptr<OpenFile>> writers;
    for (const auto& [id, file] : files_) {
      if (file->writer) writers.push_back(file);
    }
    return writers;
  }

 private:
  mutable Mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<OpenFile>> files_ GUARDED_BY(mutex_);
  std::uint64_t last_ GUARDED_BY(mutex_) = 0;
};

}  // namespace tierfs
