// What the tree tells the change feed.
#pragma once

#include <cstdint>
#include <string>

#include "fs/os/unique_fd.h"
#include "fs/tier/layer.h"

namespace tierfs {

// A call says where to look, nothing more: the truth is read from the trees afterwards, so calls
// may come late, twice, or in any order, but each has to come after the change that it tells of.
// Thread-safe and cheap.
class Feed {
 public:
  enum class Change : std::uint8_t {
    kAttributes,  // owner, mode, times, xattrs, ACLs
    kName,        // an entry came, went, was replaced or got another name
    kContent,     // it was open for writing, or truncated
    kUnknown,     // the same, and its times may not show it
    kSubtree,     // a directory came, went, or changed its place, with everything beneath it
  };

  virtual ~Feed() = default;
  // `path` relative to the tree; "" is its root.
  virtual void Touched(LayerIndex layer, std::string path, Change change) = 0;
  // A file with several names was changed by one that is in no layer of interest, or lost one: its
  // others may be recorded. `inode` as stat gives it.
  virtual void LinkedTouched(std::uint64_t inode, Change change) = 0;
  // A file was changed through a descriptor whose name is gone, and has other names that nobody has
  // looked up. Costs a search of all that is recorded.
  virtual void NamelessTouched(std::uint64_t inode, Change change) = 0;
  // The last descriptor that could write to a file was closed, but a mapping of it that can may
  // live on. `file` is open for reading. It is in a tier of interest, or on the mount of one.
  virtual void MayBeMapped(UniqueFd file) = 0;
  // The layers in which changes are of interest.
  [[nodiscard]] LayerMask tracked() const { return tracked_; }

  // The feed of a mount that tracks nothing.
  [[nodiscard]] static Feed& None();

 protected:
  explicit Feed(LayerMask tracked) : tracked_(tracked) {}

 private:
  const LayerMask tracked_;
};

}  // namespace tierfs
