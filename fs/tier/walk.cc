#include "fs/tier/walk.h"

#include <fcntl.h>

#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"
#include "fs/tier/entry.h"

namespace tierfs {
namespace {

using Visit = std::function<void(const WalkedEntry&)>;
using Enter = std::function<bool(const WalkedEntry&)>;

Status Walk(int dir, const std::string& path, const Visit& visit, const Enter& enter) {
  std::vector<std::string> names;
  TIERFS_TRY(ForEachEntry(dir, [&](const dirent64& entry) -> Status {
    names.emplace_back(entry.d_name);
    return {};
  }));
  for (const std::string& name : names) {
    const auto st = StatEntry(dir, name.c_str());
    // Root may look at everything but the mount of another user, or one that has died.
    if (!st && (st.error().code == ENOENT || st.error().code == EACCES || st.error().code == ENOTCONN || st.error().code == ESTALE))
      continue;
    if (!st) return tl::unexpected(st.error());
    const WalkedEntry entry{JoinPath(path, name), *st, IsWhiteout(*st)};
    visit(entry);
    if (!S_ISDIR(st->st_mode) || !enter(entry)) continue;
    const auto beneath = OpenEntry(dir, name.c_str(), O_RDONLY | O_DIRECTORY);
    if (!beneath && beneath.error().code == ENOENT) continue;
    if (!beneath) return tl::unexpected(beneath.error());
    TIERFS_TRY(Walk(beneath->get(), entry.path, visit, enter));
  }
  return {};
}

}  // namespace

Status WalkTree(int root, const Visit& visit, const Enter& enter) {
  TIERFS_ASSIGN(const UniqueFd fd, OpenEntry(root, ".", O_RDONLY | O_DIRECTORY));
  return Walk(fd.get(), "", visit, enter);
}

Status WalkTree(const std::string& root, const Visit& visit) {
  TIERFS_ASSIGN(const UniqueFd fd, OpenDirectory(root, O_RDONLY));
  return Walk(fd.get(), "", visit, [](const WalkedEntry&) { return true; });
}

}  // namespace tierfs
