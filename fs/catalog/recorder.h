// Turning what was seen in the trees into rows: what changed, and how.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "fs/catalog/entries.h"
#include "fs/catalog/feed.h"
#include "fs/catalog/hint_queue.h"

namespace tierfs {

// One look at one path.
struct Sight {
  LayerIndex tier;
  Feed::Change change;  // what the hint said
  std::string path;
  Observed seen;
};

// Checksums of files whose name went a moment ago: where the inode turns up under another name its content need not be read again.
class GoneHashes {
 public:
  void Add(const Row& row);
  // The checksum of what was seen, if its inode is one of them and its content has not changed.
  [[nodiscard]] std::string Of(const Observed& seen) const;

 private:
  static constexpr std::size_t kLimit = 200'000;
  struct Known {
    std::int64_t size;
    std::int64_t mtime;
    std::string hash;
  };
  std::unordered_map<std::uint64_t, Known> by_inode_;
};

// For one transaction. Changes get the sequence number `seq`. Methods throw SQLite::Exception.
class Recorder {
 public:
  Recorder(Connection& connection, Sequence seq, GoneHashes& gone) : connection_(connection), seq_(seq), gone_(gone) {}

  // Record what is absent first: then a renamed file brings its checksum along.
  void Record(const Sight& sight);
  [[nodiscard]] bool Changed() const { return changed_; }
  // What has to be looked at besides: the directory that an entry came into or left, the other names of an inode.
  [[nodiscard]] std::vector<Hint>& Further() { return further_; }

 private:
  void Absent(LayerIndex tier, const std::string& path);
  void Gone(LayerIndex tier, Row row);
  void BeneathGone(LayerIndex tier, const std::string& path);
  void OtherNames(LayerIndex tier, const std::string& path, std::uint64_t inode, Feed::Change change);
  void Above(LayerIndex tier, const std::string& path);

  Connection& connection_;
  const Sequence seq_;
  GoneHashes& gone_;
  bool changed_ = false;
  std::vector<Hint> further_;
};

}  // namespace tierfs
