// What a commit holds of each path of tier 1.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <map>
#include <string>

namespace tierfs::history {

struct Attributes {
  mode_t mode = 0;  // type and permission bits
  uid_t uid = 0;
  gid_t gid = 0;
  dev_t device = 0;                           // of a device node; a whiteout is 0:0
  std::map<std::string, std::string> xattrs;  // ACLs too; by name
  bool operator==(const Attributes&) const = default;
};

struct Item {
  Attributes attributes;
  std::string blob;  // object id of a file's content or of a symlink's target; "" for other types
  bool operator==(const Item&) const = default;

  [[nodiscard]] bool IsDir() const { return S_ISDIR(attributes.mode); }
  [[nodiscard]] bool IsFile() const { return S_ISREG(attributes.mode); }
  [[nodiscard]] bool IsLink() const { return S_ISLNK(attributes.mode); }
};

// By path relative to the tree; "" is the tree itself. Every directory of the tree has an item.
using Items = std::map<std::string, Item>;

// The path of the attributes in a commit. No file of the tree can have it.
inline constexpr const char* kMetaPath = ".tierfs/meta.mtree";
inline constexpr const char* kMetaDirectory = ".tierfs";

}  // namespace tierfs::history
