// Turning what was seen in the trees into rows: what changed, and how.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "fs/catalog/entries.h"
#include "fs/catalog/hint_queue.h"
#include "fs/tier/feed.h"

namespace tierfs {

// One look at one path.
struct Sight {
  LayerIndex tier;
  Feed::Change change;  // what the hint said
  std::string path;
  Observed seen;
  bool again = false;  // no second look, as the hint says
};

// Checksums of files whose name went a moment ago: where the inode turns up under another name its
// content need not be read again.
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
  // `further` gets what has to be looked at besides what was told of, whether or not that shows a
  // change: the directory that an entry came into or left, and every file with several names that
  // stands at the path, or stood there, as an inode. Null for what that leads to.
  Recorder(Connection& connection, Sequence seq, GoneHashes& gone, std::vector<Hint>* further)
      : connection_(connection), seq_(seq), gone_(gone), further_(further) {}

  // Record what is absent first: then a renamed file brings its checksum along.
  void Record(const Sight& sight);
  [[nodiscard]] bool Changed() const { return changed_; }
  // A file with one name that changed just now is looked at once more, a clock tick later. Should
  // that change be the loss of another name, its hint leads to the rows of files with several
  // names, and this is one of them no more.
  [[nodiscard]] std::vector<Hint>& Again() { return again_; }

 private:
  void Absent(const Sight& sight);
  void Gone(LayerIndex tier, Row row, Feed::Change change);
  void BeneathGone(const Sight& sight);
  void AllNames(const Observed& file, Feed::Change change);
  void Above(LayerIndex tier, const std::string& path);

  Connection& connection_;
  const Sequence seq_;
  GoneHashes& gone_;
  std::vector<Hint>* const further_;
  std::vector<Hint> again_;
  bool changed_ = false;
};

}  // namespace tierfs
