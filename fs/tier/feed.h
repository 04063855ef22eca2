// Reports of changes, from the tree to the change feed.
#pragma once

#include <cstdint>
#include <string>

#include "fs/os/unique_fd.h"
#include "fs/tier/layer.h"

namespace tierfs {

// Receives reports of changes. A report says where to look, nothing more: the feed reads the trees
// afterwards. Reports may come late, twice or in any order, but each must come after its change.
// Thread-safe and cheap.
class Feed {
 public:
  enum class Change : std::uint8_t {
    kAttributes,  // owner, mode, times, xattrs, ACLs
    kName,        // an entry was added, removed, replaced or renamed
    kContent,     // the file was open for writing, or was truncated
    kUnknown,     // like kContent, but the times of the file may not show it
    kSubtree,     // a directory was added, removed or moved, with everything beneath it
    kOpened,      // the file was opened for writing; nothing has changed yet
  };

  virtual ~Feed() = default;
  // `path` is relative to the tree; "" is its root.
  virtual void Touched(LayerIndex layer, std::string path, Change change) = 0;
  // A file with several names lost one, or changed through a name in an untracked layer. Its other
  // names may be recorded. `inode` is the st_ino of the backing file.
  virtual void LinkedTouched(std::uint64_t inode, Change change) = 0;
  // A file changed through a descriptor whose name is gone. The file has other names, which were
  // never looked up. Costs a search of all records.
  virtual void NamelessTouched(std::uint64_t inode, Change change) = 0;
  // The last descriptor that could write to a file was closed, but a writable mapping may live on.
  // `file` is open for reading. It is in a tracked tier, or on the same mount as one.
  virtual void MayBeMapped(UniqueFd file) = 0;
  // The layers whose changes are of interest.
  [[nodiscard]] LayerMask tracked() const { return tracked_; }
  // The layers of which kOpened is of interest, too.
  [[nodiscard]] LayerMask watched() const { return watched_; }

  // The feed of a mount that tracks nothing.
  [[nodiscard]] static Feed& None();

 protected:
  explicit Feed(LayerMask tracked, LayerMask watched = {}) : tracked_(tracked), watched_(watched) {}

 private:
  const LayerMask tracked_;
  const LayerMask watched_;
};

}  // namespace tierfs
