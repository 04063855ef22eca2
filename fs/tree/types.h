// Arguments and results of the operations of the tree.
#pragma once

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "fs/tier/feed.h"
#include "fs/tier/journal.h"
#include "fs/tree/handle_table.h"
#include "fs/tree/node.h"

namespace tierfs {

struct TreeOptions {
  // How long the kernel may cache an answer.
  std::chrono::nanoseconds cache_timeout{std::chrono::seconds(60)};
  bool passthrough = true;
  std::size_t directory_fds = 1024;     // bound of the directory cache
  Feed* feed = &Feed::None();           // receives every change in the tiers that it tracks
  Journal* journal = &Journal::None();  // records operations of several steps
};

struct Attributes {
  struct stat st;
  double timeout;  // seconds
};

struct Entry {
  NodeId id;  // 0: there is no such name, and the kernel may cache that
  std::uint32_t generation;
  Attributes attributes;
  double timeout;  // seconds
};

struct Opened {
  HandleId handle;
  std::int32_t backing_id = 0;  // passthrough when not 0
  bool direct = false;          // the data must not go through the page cache
  bool keep_pages = false;      // the pages that the kernel has cached are still valid
};

struct CreatedFile {
  Entry entry;
  Opened opened;
};

struct DirectoryEntry {
  std::string name;
  std::uint64_t ino;
  unsigned char type;  // DT_*
};

// The changes of a setattr. An unset optional leaves its attribute alone. tv_nsec of a time may be
// UTIME_NOW.
struct AttributeChange {
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<off_t> size;
  std::optional<timespec> atime;
  std::optional<timespec> mtime;
  // A chown that names no owner comes as a request that changes nothing. So does the question of
  // the kernel to take setuid and setgid bits from a file before a write.
  [[nodiscard]] bool ChangesOwner() const { return uid || gid || !(mode || size || atime || mtime); }
};

// Makes answers, with the time for which the kernel may cache them.
class Answers {
 public:
  explicit Answers(std::chrono::nanoseconds cache_timeout) : timeout_(std::chrono::duration<double>(cache_timeout).count()) {}

  [[nodiscard]] Attributes Describe(const Node& node, struct stat st) const {
    st.st_ino = node.ino;
    // A writable mapping changes the times of the file without a request. The kernel therefore asks
    // again after a clock tick; the times are no finer.
    constexpr double kTick = 0.001;
    const bool mapped = node.mappers.load(std::memory_order_relaxed) != 0 || node.may_stay_mapped.load(std::memory_order_relaxed);
    return Attributes{st, mapped ? std::min(kTick, timeout_) : timeout_};
  }
  [[nodiscard]] Entry EntryOf(const Node& node, const struct stat& st) const {
    return Entry{node.id, node.generation.load(), Describe(node, st), timeout_};
  }
  [[nodiscard]] Entry Absent() const {
    Entry absent{};
    absent.timeout = timeout_;
    return absent;
  }

 private:
  const double timeout_;  // seconds
};

}  // namespace tierfs
