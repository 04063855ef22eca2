// The work of a backup job, from the change feed of a tier.
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
  Token token;            // all changes before the listing; what changes later is listed by the next one
  Full full = Full::kNo;  // otherwise the token could not be answered, and the vectors are empty
  std::vector<ChangedPath> changes;
  std::vector<std::string> to_copy;  // as PathsToCopy gives them
};

// Asks the daemon, which must run, for everything that changed in the tier since the token. The
// error is one line.
[[nodiscard]] tl::expected<ChangeList, std::string> ListSince(const Config& config, TierId tier, const std::optional<Token>& since);

// How an entry stands in the tree now.
enum class Standing : std::uint8_t { kAbsent, kDirectory, kOther };

// The paths that a tool has to look at so that its copy becomes like the tree again, each once, ""
// for the tree itself. A path that is there is copied without what is beneath it; one that is
// absent is removed with all that is beneath it. Three rules make the list safe for tools that
// resolve each path by itself:
// - A deleted path is named by its topmost part that is gone: what is beneath goes with it.
// - Where an ancestor of a deleted path is no directory any more, that ancestor is named instead:
// the path would be followed through a symlink that took the directory's place, or be an error.
// - The directory of each path is named with it: replacing a file in the copy changes the date of
// the copy's directory.
[[nodiscard]] std::vector<std::string> PathsToCopy(const std::vector<ChangedPath>& changes,
                                                   const std::function<Standing(const std::string& path)>& standing);

[[nodiscard]] bool IsUtf8(const std::string& text);
// The path as it can be compared with what programs print that know UTF-8 alone: "?" for each other
// byte, as borg has it, and for U+FFFD, which restic has instead. Several names may look alike.
[[nodiscard]] std::string Lossy(const std::string& path);

// Those of the paths (as Lossy gives them) that have not changed since the token; all of them when
// that cannot be told.
[[nodiscard]] tl::expected<std::vector<std::string>, std::string> NotChangedSince(const Config& config, TierId tier, const Token& since,
                                                                                  std::vector<std::string> paths);

}  // namespace tierfs
