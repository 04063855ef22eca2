// Turns observations of the trees into rows that say how each path changed.
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
  Feed::Change change;  // the change that the hint named
  std::string path;
  Observed seen;
  bool again = false;  // the hint asked for no second look
};

// Checksums of files whose name vanished a moment ago. If the inode appears under another name, its
// content need not be read again.
class GoneHashes {
 public:
  void Add(const Row& row);
  // Returns the checksum of the observed file if its inode is known here and its content has not
  // changed.
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

// Records the observations of one transaction. Changes get the sequence number `seq`. Methods throw
// SQLite::Exception.
class Recorder {
 public:
  // `further` receives the paths to look at besides those that were told, whether or not they show
  // a change: the directory that an entry came into or left, and, as an inode, every file with
  // several names that stands or stood at the path. Pass null for the paths in `further`
  // themselves.
  Recorder(Connection& connection, Sequence seq, GoneHashes& gone, std::vector<Hint>* further)
      : connection_(connection), seq_(seq), gone_(gone), further_(further) {}

  // Record absent paths first: a renamed file then takes its checksum along.
  void Record(const Sight& sight);
  [[nodiscard]] bool Changed() const { return changed_; }
  // Files with one name that changed just now; each is looked at once more, a clock tick later. The
  // change may have been the loss of another name. The hint of that loss leads only to rows of
  // files with several names, and this row is no longer one of them.
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
