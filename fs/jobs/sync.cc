#include "fs/jobs/sync.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <set>

#include "fs/jobs/live_mount.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

// Opens a directory for syncfs(2), which reports the write errors that came after the open or were
// never reported.
tl::expected<UniqueFd, std::string> OpenFor(const Config& config, const std::string& path) {
  UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return tl::unexpected(ErrorLine(config, path + ": " + std::strerror(errno)));
  return directory;
}

tl::expected<void, std::string> SyncFileSystem(const Config& config, const UniqueFd& directory, const std::string& path) {
  if (::syncfs(directory.get()) == 0) return {};
  return tl::unexpected(ErrorLine(config, path + ": syncfs: " + std::strerror(errno) + "; not everything is on its disk"));
}

// Writes the pages that programs changed in mappings of the mount to the tiers. Returns the number
// of files.
tl::expected<std::uint64_t, std::string> WriteBackMapped(const Config& config) {
  TIERFS_TRY(CheckReady(config));
  const std::string mountpoint = MountpointOf(config);
  if (mountpoint.empty()) {  // mounted where this process cannot see it
    TIERFS_ASSIGN(const auto done, Ask(config, protocol::WriteBack{}));
    return done.files;
  }
  TIERFS_ASSIGN(const UniqueFd mount, OpenFor(config, mountpoint));
  // Starts the writing of everything at once, but does not wait for it.
  TIERFS_TRY(SyncFileSystem(config, mount, mountpoint));
  TIERFS_ASSIGN(const auto done, Ask(config, protocol::WriteBack{}));
  // Reports pages that could not be written.
  TIERFS_TRY(SyncFileSystem(config, mount, mountpoint));
  return done.files;
}

}  // namespace

tl::expected<SyncReport, std::string> SyncMount(const Config& config) {
  SyncReport report;
  tl::expected<void, std::string> outcome;
  const auto daemon = FindDaemon(config.state);
  const bool absent = !daemon && (daemon.error().code == ENOENT || daemon.error().code == ECONNREFUSED);
  if (!absent || !MountpointOf(config).empty()) {
    const auto mapped = WriteBackMapped(config);
    if (mapped) report.mapped = *mapped;
    if (!mapped) outcome = tl::unexpected(mapped.error());
  }
  std::vector<std::string> places(config.tiers.begin(), config.tiers.end());
  places.push_back(config.state);
  std::set<dev_t> synced;
  for (const std::string& place : places) {
    const auto directory = OpenFor(config, place);
    struct stat st {};
    if (directory && ::fstat(directory->get(), &st) == 0 && !synced.insert(st.st_dev).second) continue;
    const auto done = directory ? SyncFileSystem(config, *directory, place) : tl::unexpected(directory.error());
    if (done) report.file_systems.push_back(place);
    if (!done && outcome) outcome = done;
  }
  if (!outcome) return tl::unexpected(outcome.error());
  return report;
}

}  // namespace tierfs
