// The mounts of this machine, as the kernel lists them (/proc/self/mountinfo, proc(5)).
#pragma once

#include <string>
#include <vector>

namespace tierfs {

struct MountEntry {
  std::string mountpoint;
  std::string type;     // "ext4", "fuse.tierfs"
  std::string source;   // what is mounted; the config of a tierfs
  std::string options;  // of the mount, separated by commas: "rw,nosuid"

  [[nodiscard]] bool IsFuse() const { return type == "fuse" || type == "fuseblk" || type.rfind("fuse.", 0) == 0; }
};

// Returns every mount visible to this process; a mount comes after what it is mounted on.
[[nodiscard]] std::vector<MountEntry> AllMounts();

struct MountedFs {
  std::string mountpoint;
  std::string config;
};

// Returns every tierfs mount visible to this process, including mounts whose daemon has died.
[[nodiscard]] std::vector<MountedFs> TierfsMounts();

}  // namespace tierfs
