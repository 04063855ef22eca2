// Files whose descriptors are closed while a writable mapping of them may live on: they change, and nobody says so.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "fs/catalog/feed.h"

namespace tierfs {

// Thread-safe.
class MappedFiles {
 public:
  using Tell = std::function<void(LayerIndex layer, std::string path, Feed::Change change)>;
  // `roots` are the trees that the files are in.
  MappedFiles(const std::map<LayerIndex, UniqueFd>& roots, Tell tell) : roots_(roots), tell_(std::move(tell)) {}

  // `file` is open for reading. False when there are too many to watch one more.
  [[nodiscard]] bool Add(LayerIndex layer, UniqueFd file);
  // Tells of every one of them, after which a store into a mapping moves its file's times.
  void LookAtAll();
  // Lets those go that nobody can write to any more; each is told of once more.
  void Sweep();

 private:
  static constexpr std::size_t kLimit = 4096;
  struct File {
    LayerIndex layer;
    UniqueFd file;
  };
  void TellOf(const File& file, bool stores_seen) const;
  void SweepLocked();

  const std::map<LayerIndex, UniqueFd>& roots_;
  const Tell tell_;
  std::mutex mutex_;
  std::map<std::pair<LayerIndex, std::uint64_t>, File> files_;  // by tree and inode
};

}  // namespace tierfs
