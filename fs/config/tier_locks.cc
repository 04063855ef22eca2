#include "fs/config/tier_locks.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace tierfs {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr int kStepMs = 20;

// The process of this user that holds a lock on the directory (/proc/locks, proc(5)); 0 if there is
// none. Any user who may read the directory can lock it. Such a lock must not keep a mount away.
pid_t HolderOf(int directory) {
  struct stat st {};
  if (::fstat(directory, &st) != 0) return 0;
  const std::string inode = ":" + std::to_string(st.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, strictness, access, place;
    pid_t pid = 0;
    if (!(words >> number >> kind >> strictness >> access >> pid >> place) || kind != "FLOCK") continue;
    if (place.size() < inode.size() || place.compare(place.size() - inode.size(), inode.size(), inode) != 0) continue;
    struct stat process {};
    if (::stat(("/proc/" + std::to_string(pid)).c_str(), &process) == 0 && process.st_uid == ::geteuid()) return pid;
  }
  return 0;
}

// Locks the directory, or returns the process that keeps it locked. 0: it is locked, or the lock of
// another user does not count.
pid_t LockOrFind(int directory) {
  for (int waited = 0;; waited += kStepMs) {
    if (::flock(directory, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return 0;
    const pid_t holder = HolderOf(directory);
    if (holder == 0 || waited >= kPatienceMs) return holder;
    std::this_thread::sleep_for(std::chrono::milliseconds(kStepMs));
  }
}

}  // namespace

ConfigResult<std::vector<UniqueFd>> LockTiers(const Config& config) {
  std::vector<UniqueFd> locks;
  for (std::size_t i = 0; i < config.tiers.size(); ++i) {
    UniqueFd tier(::open(config.tiers[i].c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (const pid_t holder = tier ? LockOrFind(tier.get()) : 0; holder != 0) {
      const std::string number = std::to_string(i + 1);
      return tl::unexpected(ConfigError{config.file, config.LineOf("tier." + number),
                                        "tier " + number + ": " + config.tiers[i] + " is locked by process " + std::to_string(holder) +
                                            ": a mount with another state directory, or a running `tierctl check`"});
    }
    locks.push_back(std::move(tier));
  }
  return locks;
}

}  // namespace tierfs
