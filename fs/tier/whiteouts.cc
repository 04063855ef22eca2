#include "fs/tier/whiteouts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/tier/entry.h"

namespace tierfs {

Status MakeWhiteout(int dir, const char* name) {
  const Status made = MakeNodeEntry(dir, name, S_IFCHR, makedev(0, 0));
  if (made || made.error().code != EEXIST) return made;
  TIERFS_ASSIGN(const struct stat st, StatEntry(dir, name));
  if (!IsWhiteout(st)) return Fail(EEXIST, "an entry stands where a whiteout has to go");
  return {};
}

Status RemoveEmptyPart(int dir, const char* name) {
  const Status removed = RemoveDirectoryEntry(dir, name);
  if (removed || (removed.error().code != ENOTEMPTY && removed.error().code != EEXIST)) return removed;
  TIERFS_ASSIGN(const UniqueFd part, OpenEntry(dir, name, O_RDONLY | O_DIRECTORY));
  std::vector<std::string> whiteouts;
  TIERFS_TRY(ForEachEntry(part.get(), [&](const dirent64& entry) -> Status {
    TIERFS_ASSIGN(const struct stat st, StatEntry(part.get(), entry.d_name));
    if (!IsWhiteout(st)) return Fail(ENOTEMPTY, "rmdir");
    whiteouts.emplace_back(entry.d_name);
    return {};
  }));
  Status emptied;
  std::size_t gone = 0;
  while (emptied && gone < whiteouts.size()) {
    emptied = RemoveEntry(part.get(), whiteouts[gone].c_str());
    if (emptied) ++gone;
  }
  if (emptied) emptied = RemoveDirectoryEntry(dir, name);
  // Without its whiteouts the directory would show what they hide.
  if (!emptied) {
    for (std::size_t n = 0; n < gone; ++n) (void)MakeWhiteout(part.get(), whiteouts[n].c_str());
  }
  return emptied;
}

Result<bool> IsOpaque(int dir, const char* name) {
  for (const char* mark : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    const auto value = ReadXattrEntry(dir, name, mark, 1);
    if (value && (*value == "y" || *value == "x")) return *value == "y";
    const int error = value ? 0 : value.error().code;
    // Only a disk that fails leaves it unknown. A mark that is absent, longer than a mark, not
    // possible there or not readable for this user is none.
    if (error == EIO || error == ENOMEM) return tl::unexpected(value.error());
  }
  return false;
}

}  // namespace tierfs
