// Reads the present state of single paths of a tree, as a commit would hold it.
#pragma once

#include <cstdint>
#include <string>

#include "fs/jobs/history/items.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs::history {

struct Captured {
  bool present = false;
  Item item;              // without the object id
  std::string content;    // of a file, or the target of a symlink
  bool oversize = false;  // a file larger than the limit; its content was not read
  bool changing = false;  // the file changed while it was read
};

// The attributes of an open entry; O_PATH will do.
[[nodiscard]] Result<Attributes> ReadAttributes(const UniqueFd& entry);

// `root` is the tree, `path` is relative to it. No symlink is followed. A path beneath something
// that is not a directory is absent.
[[nodiscard]] Result<Captured> Capture(int root, const std::string& path, std::uint64_t max_file);

}  // namespace tierfs::history
