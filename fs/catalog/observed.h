// The state of a path in a tier tree, as far as the feed needs it, and ways to read it.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// The kernel takes timestamps from a clock that ticks every 1 to 10 ms. A file stamped within the
// last tick may change again without a new time.
inline constexpr std::int64_t kClockTickNs = 12'000'000;
inline constexpr std::uint32_t kWhiteoutType = 0;

struct Observed {
  bool present = false;
  std::uint32_t type = 0;  // S_IFMT bits; kWhiteoutType for a whiteout
  std::uint64_t inode = 0;
  std::uint64_t links = 0;
  std::int64_t size = 0;
  std::int64_t mtime = 0;  // nanoseconds
  // 0: the entry may change again without a new time, so any later state counts as different.
  std::int64_t ctime = 0;

  [[nodiscard]] bool IsDir() const { return present && S_ISDIR(type); }
  [[nodiscard]] bool IsFile() const { return present && S_ISREG(type); }
  // Whether a later look certainly saw the same state. A ctime of 0 proves nothing.
  [[nodiscard]] bool IsSurely(const Observed& later) const { return EqualButCtime(later) && ctime == later.ctime && ctime != 0; }
  [[nodiscard]] bool MayBe(const Observed& later) const {
    return EqualButCtime(later) && (!present || ctime == later.ctime || ctime == 0 || later.ctime == 0);
  }

 private:
  [[nodiscard]] bool EqualButCtime(const Observed& other) const {
    if (!present || !other.present) return present == other.present;
    return type == other.type && inode == other.inode && links == other.links && size == other.size && mtime == other.mtime;
  }
};

[[nodiscard]] Observed ObservedOf(const struct stat& st);

// Reads the state of single paths beneath the root of a tree. Owns the last directory that it
// opened and reuses it, so ask for paths in order.
class Observer {
 public:
  explicit Observer(int root) : root_(root) {}
  [[nodiscard]] Result<Observed> At(const std::string& path);

 private:
  int root_;
  std::string directory_;
  UniqueFd directory_fd_;
};

// Walks a tree, or the part beneath a directory, in the order of stored paths: a directory before
// its contents, names by their bytes. Memory: the names in the directories above the current one.
// Skips entries that vanish meanwhile.
class TreeWalk {
 public:
  // `start` itself comes first, if it exists.
  TreeWalk(int root, const std::string& start);
  struct Item {
    std::string path;
    Observed observed;
  };
  // Returns false at the end.
  [[nodiscard]] Result<bool> Next(Item& item);

 private:
  struct Level {
    UniqueFd directory;
    std::string path;
    std::vector<std::string> names;
    std::size_t next = 0;
  };
  [[nodiscard]] Status Enter(UniqueFd directory, const std::string& path);

  const int root_;
  const std::string start_;
  bool started_ = false;
  std::vector<Level> levels_;
};

}  // namespace tierfs
