// What stands at a path of a tier tree, as far as the feed wants to know, and how to find out.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <vector>

#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs {

// The kernel stamps times from a clock that ticks every 1 to 10 ms: a file that was stamped within
// the last tick may change again without a new time.
inline constexpr std::int64_t kClockTickNs = 12'000'000;
inline constexpr std::uint32_t kWhiteoutType = 0;

struct Observed {
  bool present = false;
  std::uint32_t type = 0;  // S_IFMT bits; kWhiteoutType for a whiteout
  std::uint64_t inode = 0;
  std::uint64_t links = 0;
  std::int64_t size = 0;
  std::int64_t mtime = 0;  // nanoseconds
  std::int64_t ctime = 0;  // 0: it may change again without a new time, so what is seen later counts as different

  [[nodiscard]] bool IsDir() const { return present && S_ISDIR(type); }
  [[nodiscard]] bool IsFile() const { return present && S_ISREG(type); }
  // Whether a later look saw the same state for sure, or may have: a ctime of 0 proves nothing.
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

// Looks at single paths beneath the root of a tree. Keeps the last directory open, so ask in order.
class Observer {
 public:
  explicit Observer(int root) : root_(root) {}
  [[nodiscard]] Result<Observed> At(const std::string& path);

 private:
  int root_;
  std::string directory_;
  UniqueFd directory_fd_;
};

// Walks a tree, or what is beneath a directory of it, in the order of stored paths: a directory
// before what is in it, names by their bytes. Memory: the names of the directories above the
// present one. What vanishes meanwhile is passed over.
class TreeWalk {
 public:
  // `start` itself comes first, when it is there.
  TreeWalk(int root, const std::string& start);
  struct Item {
    std::string path;
    Observed observed;
  };
  // False at the end.
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
