// The tierfs mounts of this machine, as the kernel lists them.
#pragma once

#include <string>
#include <vector>

namespace tierfs {

struct MountedFs {
  std::string mountpoint;
  std::string config;
};

// Every tierfs mount that this process sees (/proc/self/mountinfo, proc(5)), also one whose daemon
// has died.
[[nodiscard]] std::vector<MountedFs> TierfsMounts();

}  // namespace tierfs
