// Trees as they were at one instant, for a read-only mount of them.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fs/os/result.h"

namespace tierfs {

// Every function is thread-safe, answers the same each time, and fails with EIO once the trees are
// no longer known.
class FrozenView {
 public:
  virtual ~FrozenView() = default;

  // A file of the view: a number that stays the same, and its attributes with their original inode
  // number. 1 is the directory that holds the trees.
  struct Found {
    std::uint64_t id;
    struct stat st;
  };
  struct Entry {
    std::string name;
    std::uint64_t id;
    std::uint64_t inode;
    unsigned char type;  // DT_*
  };
  class File {
   public:
    virtual ~File() = default;
    // Reads at most `size` bytes; fewer only at the end of the file.
    [[nodiscard]] virtual Result<std::size_t> Read(char* buffer, std::size_t size, off_t offset) = 0;
    // lseek(2) with SEEK_DATA or SEEK_HOLE.
    [[nodiscard]] virtual Result<off_t> Seek(off_t offset, int whence) = 0;
  };

  [[nodiscard]] virtual Result<Found> Lookup(std::uint64_t directory, const char* name) = 0;
  [[nodiscard]] virtual Result<Found> Attributes(std::uint64_t id) = 0;
  [[nodiscard]] virtual Result<std::vector<Entry>> List(std::uint64_t directory) = 0;
  [[nodiscard]] virtual Result<std::string> Target(std::uint64_t symlink) = 0;
  [[nodiscard]] virtual Result<std::unique_ptr<File>> Open(std::uint64_t id) = 0;
  [[nodiscard]] virtual Result<std::string> Xattr(std::uint64_t id, const std::string& name) = 0;
  // The names, each with a zero byte at its end, as listxattr(2) has them.
  [[nodiscard]] virtual Result<std::string> Xattrs(std::uint64_t id) = 0;
  [[nodiscard]] virtual Result<struct statvfs> Space(std::uint64_t id) = 0;
};

}  // namespace tierfs
