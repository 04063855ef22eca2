// Open directories, by number. A listing is taken when it is first read and again after a rewind, so offsets stay right whatever
// happens to the directory meanwhile.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "fs/tree/tree.h"

namespace tierfs {

struct DirStream {
  std::mutex mutex;
  std::optional<std::vector<DirectoryEntry>> entries;
};

class DirStreams {
 public:
  [[nodiscard]] std::uint64_t Open() {
    const std::lock_guard lock(mutex_);
    streams_[++last_] = std::make_shared<DirStream>();
    return last_;
  }
  [[nodiscard]] std::shared_ptr<DirStream> Get(std::uint64_t id) const {
    const std::lock_guard lock(mutex_);
    const auto found = streams_.find(id);
    return found == streams_.end() ? nullptr : found->second;
  }
  void Close(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    streams_.erase(id);
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<DirStream>> streams_;
  std::uint64_t last_ = 0;
};

}  // namespace tierfs
