// Files whose descriptors are closed while a writable mapping of them may live on: they change, and
// nobody says so.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>

#include "fs/os/mutex.h"
#include "fs/tier/feed.h"

namespace tierfs {

// Thread-safe.
class MappedFiles {
 public:
  using Tell = std::function<void(LayerIndex layer, std::string path, Feed::Change change)>;
  using TellNameless = std::function<void(std::uint64_t inode, Feed::Change change)>;
  // `roots` are the trees that are recorded. `tell_nameless` is for a file whose name is gone while
  // it has others.
  MappedFiles(const std::map<LayerIndex, UniqueFd>& roots, Tell tell, TellNameless tell_nameless)
      : roots_(roots), tell_(std::move(tell)), tell_nameless_(std::move(tell_nameless)) {}

  // `file` is open for reading; in one of the trees, or where it may be renamed into one. False
  // when there are too many to watch one more.
  [[nodiscard]] bool Add(UniqueFd file);
  // Tells of every one of them, after which a store into a mapping moves its file's times.
  void LookAtAll();
  // Lets those go that nobody can write to any more; each is told of once more.
  void Sweep();

 private:
  static constexpr std::size_t kLimit = 4096;
  // Of one that is in no tree just now there is nothing to tell.
  void TellOf(int file, bool stores_seen) const;
  void SweepLocked() REQUIRES(mutex_);

  const std::map<LayerIndex, UniqueFd>& roots_;
  const Tell tell_;
  const TellNameless tell_nameless_;
  Mutex mutex_;
  std::map<std::pair<dev_t, ino_t>, UniqueFd> files_ GUARDED_BY(mutex_);
};

}  // namespace tierfs
