// The attributes that git does not hold, in the form of mtree(5): a line a path.
//
//   #mtree
//   . type=dir uid=0 gid=0 mode=0750
//   ./etc/exim4/conf type=file uid=0 gid=112 mode=0640 xattr.user.origin=dGVzdA==
//   ./etc/removed type=char uid=0 gid=0 mode=0000 device=linux,0,0
//
// Paths are written in the octal escapes of vis(3). Extended attributes are in base64, under a
// keyword of our own. A path has a line only if git alone would not bring it back: an owner other
// than root, a mode other than 0644, 0755 (a file), 0755 (a directory), an extended attribute, an
// empty directory, a special file.
#pragma once

#include <string>

#include <tl/expected.hpp>

#include "fs/jobs/history/items.h"

namespace tierfs::history {

[[nodiscard]] std::string RenderMeta(const Items& items);

// Applies the lines to `items`, which holds what git has: files and symlinks, with the default
// attributes. Adds directories and special files. The error names the line.
[[nodiscard]] tl::expected<void, std::string> ApplyMeta(const std::string& text, Items& items);

// The attributes of a path that has no line. `mode` holds the type, and 0111 for an executable
// file.
[[nodiscard]] Attributes DefaultAttributes(mode_t mode);

}  // namespace tierfs::history
