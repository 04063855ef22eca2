#include "fs/config/tier_locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>

namespace tierfs {

ConfigResult<std::vector<UniqueFd>> LockTiers(const Config& config) {
  std::vector<UniqueFd> locks;
  for (std::size_t i = 0; i < config.tiers.size(); ++i) {
    UniqueFd tier(::open(config.tiers[i].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (tier && ::flock(tier.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      const std::string number = std::to_string(i + 1);
      return tl::unexpected(ConfigError{config.file, config.LineOf("tier." + number),
                                        "tier " + number + ": " + config.tiers[i] +
                                            " is in use by a daemon with another state directory, or whose state directory was "
                                            "replaced; unmount that mount first"});
    }
    locks.push_back(std::move(tier));
  }
  return locks;
}

}  // namespace tierfs
