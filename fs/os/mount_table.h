// The tierfs mounts of this machine, as the kernel lists them.
#pragma once

#include <string>
#include <vector>

namespace tierfs {

struct MountedFs {
  std::string mountpoint;
  std::string config;
};

// Returns every tierfs mount visible to this process (/proc/self/mountinfo, proc(5)), including
// mounts whose daemon has died.
[[nodiscard]] std::vector<MountedFs> TierfsMounts();

}  // namespace tierfs
