// Files whose descriptors are closed while a writable mapping may live on. Stores into such a
// mapping change the file without any request to the daemon.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>

#include "fs/os/mutex.h"
#include "fs/tier/feed.h"

namespace tierfs {

// Owns one descriptor for each such file. Thread-safe.
class MappedFiles {
 public:
  using Tell = std::function<void(LayerIndex layer, std::string path, Feed::Change change)>;
  using TellNameless = std::function<void(std::uint64_t inode, Feed::Change change)>;
  // `roots` are the recorded trees. `tell_nameless` is called for a file whose name is gone while
  // it has other names.
  MappedFiles(const std::map<LayerIndex, UniqueFd>& roots, Tell tell, TellNameless tell_nameless)
      : roots_(roots), tell_(std::move(tell)), tell_nameless_(std::move(tell_nameless)) {}

  // `file` is open for reading and lies in one of the trees, or where it may be renamed into one.
  // Returns false if no further file can be watched.
  [[nodiscard]] bool Add(UniqueFd file);
  // Tells the feed about every file. After that, a store into a mapping moves its file's times.
  void LookAtAll();
  // Releases the files that can no longer be written to. Each is told of once more.
  void Sweep();

 private:
  static constexpr std::size_t kLimit = 4096;
  // Tells nothing about a file that is in no tree at the moment.
  void TellOf(int file, bool stores_seen) const;
  void SweepLocked() REQUIRES(mutex_);

  const std::map<LayerIndex, UniqueFd>& roots_;
  const Tell tell_;
  const TellNameless tell_nameless_;
  Mutex mutex_;
  std::map<std::pair<dev_t, ino_t>, UniqueFd> files_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
