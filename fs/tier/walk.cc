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

Status Walk(int dir, const std::string& path, const std::function<void(const WalkedEntry&)>& visit) {
  std::vector<std::string> names;
  TIERFS_TRY(ForEachEntry(dir, [&](const dirent64& entry) -> Status {
    names.emplace_back(entry.d_name);
    return {};
  }));
  for (const std::string& name : names) {
    const auto st = StatEntry(dir, name.c_str());
    if (!st && st.error().code == ENOENT) continue;
    if (!st) return tl::unexpected(st.error());
    const WalkedEntry entry{JoinPath(path, name), *st, IsWhiteout(*st)};
    visit(entry);
    if (!S_ISDIR(st->st_mode)) continue;
    const auto beneath = OpenEntry(dir, name.c_str(), O_RDONLY | O_DIRECTORY);
    if (!beneath && beneath.error().code == ENOENT) continue;
    if (!beneath) return tl::unexpected(beneath.error());
    TIERFS_TRY(Walk(beneath->get(), entry.path, visit));
  }
  return {};
}

}  // namespace

Status WalkTree(const std::string& root, const std::function<void(const WalkedEntry&)>& visit) {
  TIERFS_ASSIGN(const UniqueFd fd, OpenDirectory(root, O_RDONLY));
  return Walk(fd.get(), "", visit);
}

}  // namespace tierfs
