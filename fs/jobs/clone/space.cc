#include "fs/jobs/clone/space.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace tierfs::clone {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPrefix = "tierfs-clone-";

UniqueFd OpenLocked(const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) directory.Reset();
  return directory;
}

void RemoveLeftovers(const std::string& parent) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent, ignored)) {
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    if (const UniqueFd unused = OpenLocked(entry.path()); unused) fs::remove_all(entry.path(), ignored);
  }
}

// Also when one is reached by a symlink or a bind mount.
bool IsAtOrBeneath(const fs::path& path, const std::string& directory) {
  std::error_code ignored;
  fs::path each = fs::canonical(path, ignored);
  for (;; each = each.parent_path()) {
    if (fs::equivalent(each, directory, ignored)) return true;
    if (!each.has_relative_path()) return false;
  }
}

}  // namespace

Outcome<void> CheckSpace(const Config& config, const std::string& place, const std::string& directory) {
  std::vector<std::pair<std::string, std::string>> own{{"the mount", place}, {"the state directory", config.state}};
  for (std::size_t i = 0; i < kTierCount; ++i) own.emplace_back("tier " + std::to_string(i + 1), config.tiers[i]);
  for (const std::string& each : config.lower) own.emplace_back("the lower layer", each);
  if (config.version) own.emplace_back("the history", config.version->repo);
  for (const auto& [what, path] : own) {
    if (IsAtOrBeneath(directory, path))
      return tl::unexpected(directory + " is in " + what + " at " + path + ": choose a directory outside");
  }
  return {};
}

Outcome<void> SpaceDirectory::Make(const std::string& parent) {
  RemoveLeftovers(parent);
  std::string path = parent + "/" + kPrefix + "XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) return tl::unexpected("a directory in " + parent + ": " + std::strerror(errno));
  path_ = path;
  lock_ = OpenLocked(path_);
  if (!lock_) return tl::unexpected(path_ + " cannot be locked: " + std::strerror(errno));
  return {};
}

SpaceDirectory::~SpaceDirectory() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace tierfs::clone
