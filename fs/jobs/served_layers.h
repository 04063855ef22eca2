// Whether the paths in a config still lead to the directories that its daemon works in. A daemon
// keeps the directories that it opened when it mounted. If a path is replaced, covered or
// unmounted, it leads elsewhere: programs write to one directory, and backups would read the other.
#pragma once

#include <string>
#include <vector>

#include "fs/config/config.h"
#include "fs/control/protocol.h"

namespace tierfs {

struct ReplacedLayer {
  std::string what;  // one line
  std::string cure;  // one line
  [[nodiscard]] std::string Line() const { return what + "; " + cure; }
};

// Returns each layer whose path in the config does not lead to the directory that the daemon has
// open.
[[nodiscard]] std::vector<ReplacedLayer> ReplacedLayers(const Config& config, const protocol::DaemonStatus& daemon);

}  // namespace tierfs
