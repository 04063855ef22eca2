// Turns the change feed of a tier into the work of a backup job.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/catalog/changes.h"
#include "fs/config/config.h"

namespace tierfs {

struct ChangeList {
  // Covers all changes before the listing. Later changes are in the next one.
  Token token;
  // Otherwise the token could not be answered, and the vectors are empty.
  Full full = Full::kNo;
  std::vector<ChangedPath> changes;
  std::vector<std::string> to_copy;  // as PathsToCopy gives them
};

// Asks the daemon, which must be running, for every change in the tier since the token. The error
// is one line.
[[nodiscard]] tl::expected<ChangeList, std::string> ListSince(const Config& config, TierId tier, const std::optional<Token>& since);

// The present state of an entry in the tree.
enum class Standing : std::uint8_t { kAbsent, kDirectory, kOther };

// Returns the paths that a tool has to look at to bring its copy up to date, each once; "" is the
// tree itself. A path that exists is copied without the entries beneath it. A path that is gone is
// removed with everything beneath it. Three rules make the list safe for tools that resolve each
// path by themselves:
//
// - A deleted path is named by its topmost ancestor that is gone, which includes everything beneath
//   it.
// - If an ancestor of a deleted path is no longer a directory, that ancestor is named instead. The
//   tool would otherwise follow a symlink that replaced the directory, or fail.
// - Each path's directory is named as well: replacing a file in the copy changes the date of the
//   copy's directory.
[[nodiscard]] std::vector<std::string> PathsToCopy(const std::vector<ChangedPath>& changes,
                                                   const std::function<Standing(const std::string& path)>& standing);

[[nodiscard]] bool IsUtf8(const std::string& text);
// Returns the path in a form that can be compared with the output of programs limited to UTF-8. "?"
// stands for each other byte, as in borg, and for U+FFFD, which restic prints instead. Several
// names may look alike.
[[nodiscard]] std::string Lossy(const std::string& path);

// Returns those of the paths (as Lossy gives them) that have not changed since the token. Returns
// all of them if that cannot be determined.
[[nodiscard]] tl::expected<std::vector<std::string>, std::string> NotChangedSince(const Config& config, TierId tier, const Token& since,
                                                                                  std::vector<std::string> paths);

}  // namespace tierfs
