// Copy-up: the content of a lower file appears in the tier that its path belongs to, under the same inode number.
#include <fcntl.h>
#include <unistd.h>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/copy.h"
#include "fs/tree/tree.h"

namespace tierfs {

Result<UniqueFd> Tree::CopyToInvisible(const Location& source, const struct stat& st, int target_dir, off_t limit) {
  TIERFS_ASSIGN(const UniqueFd from, OpenEntry(source.DirOrFile(), source.name.c_str(), O_RDONLY));
  // Never visible in the tree: it has no name until all of it is there and durable.
  TIERFS_ASSIGN(UniqueFd copy, OpenEntry(target_dir, ".", O_TMPFILE | O_WRONLY, 0600));
  TIERFS_TRY(CopyFileData(from.get(), copy.get(), limit));
  TIERFS_TRY(CloneAttributes(from.get(), st, copy.get()));
  if (::fsync(copy.get()) != 0) return FailErrno("fsync of a copy");
  return copy;
}

Status Tree::CopySpecial(const Location& source, const struct stat& st, int target_dir, const char* name) {
  const Caller owner{st.st_uid, st.st_gid, 0, 0};
  {
    const ActAs as(owner);
    if (S_ISLNK(st.st_mode)) {
      std::string target(PATH_MAX, '\0');
      const ssize_t length = ::readlinkat(source.DirOrFile(), source.name.c_str(), target.data(), target.size() - 1);
      if (length < 0) return FailErrno("readlinkat");
      target.resize(static_cast<std::size_t>(length));
      if (::symlinkat(target.c_str(), target_dir, name) != 0) return FailErrno("symlinkat");
    } else if (::mknodat(target_dir, name, st.st_mode, st.st_rdev) != 0) {
      return FailErrno("mknodat");
    }
  }
  TIERFS_ASSIGN(const UniqueFd from, OpenEntry(source.DirOrFile(), source.name.c_str(), O_PATH));
  TIERFS_ASSIGN(const UniqueFd to, OpenEntry(target_dir, name, O_PATH));
  return CloneAttributes(from.get(), st, to.get());
}

Status Tree::CopyUp(const NodePtr& node, off_t limit) {
  if (node->IsDir()) {
    if (!node->Parts().InTiers().Empty()) return {};
    TIERFS_ASSIGN(const DirFd made, OpenDirForWriting(node, LayerOf(DecisionOfNode(*node).tier)));
    return {};
  }
  if (IsTier(node->Placement())) return {};
  const std::lock_guard lock(node->mutex);
  const LayerIndex from = node->Placement();
  if (IsTier(from)) return {};  // somebody else did it while we waited
  TIERFS_ASSIGN(const Location source, LocateLocked(node, from));
  if (source.name.empty()) return Fail(ESTALE, "copy-up of a lower file without a name");
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  TIERFS_ASSIGN(const struct stat st, StatEntry(source.DirOrFile(), source.name.c_str()));
  const LayerIndex tier = LayerOf(DecisionFor(place.parent, place.name, false).tier);
  TIERFS_ASSIGN(const DirFd dir, OpenDirForWriting(place.parent, tier));
  // The directory as the user sees it gains nothing: its time stays.
  TIERFS_ASSIGN(const struct stat dir_stat, StatFd((*dir).get()));

  const AtEnd tell([&] { Tell(LayerMask::Only(tier), place.parent, place.name, Feed::Change::kContent); });
  moves_.fetch_add(1, std::memory_order_acq_rel);
  if (S_ISREG(st.st_mode)) {
    TIERFS_ASSIGN(const UniqueFd copy, CopyToInvisible(source, st, (*dir).get(), limit));
    if (::linkat(copy.get(), "", (*dir).get(), place.name.c_str(), AT_EMPTY_PATH) != 0) return FailErrno("linkat");
  } else {
    TIERFS_TRY(CopySpecial(source, st, (*dir).get(), place.name.c_str()));
  }
  const timespec times[2] = {{0, UTIME_OMIT}, dir_stat.st_mtim};
  if (::utimensat((*dir).get(), "", times, AT_EMPTY_PATH) != 0) return FailErrno("utimensat");
  TIERFS_ASSIGN(const struct stat made, StatEntry((*dir).get(), place.name.c_str()));
  nodes_.Rekey(node, layers_.KeyOf(tier, made), LayerMask::Only(tier));
  moves_.fetch_add(1, std::memory_order_acq_rel);
  return {};
}

}  // namespace tierfs
