#include "fs/catalog/mapped_files.h"

#include <unistd.h>

#include <climits>

#include "fs/os/beneath.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

// Returns the current path of an open file (proc(5)). A path longer than PATH_MAX cannot be read.
std::string PlaceOf(int file) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(ProcPath(file).c_str(), path, sizeof path);
  return {path, size > 0 ? static_cast<std::size_t>(size) : 0};
}

}  // namespace

bool MappedFiles::Add(UniqueFd file) {
  const auto st = StatFd(file.get());
  if (!st || !S_ISREG(st->st_mode) || st->st_nlink == 0 || !HasWriters(file.get(), true)) return true;
  const Lock lock(mutex_);
  if (files_.size() >= kLimit) SweepLocked();
  if (files_.size() >= kLimit) return false;
  files_.insert_or_assign(std::pair(st->st_dev, st->st_ino), std::move(file));
  return true;
}

void MappedFiles::TellOf(int file, bool stores_seen) const {
  const Feed::Change change = stores_seen ? Feed::Change::kContent : Feed::Change::kUnknown;
  const std::string whole = PlaceOf(file);
  // A file's real name may end like this too, so both cases are reported.
  constexpr std::string_view kGone = " (deleted)";
  if (whole.size() >= kGone.size() && whole.compare(whole.size() - kGone.size(), kGone.size(), kGone) == 0) {
    if (const auto st = StatFd(file); st && st->st_nlink > 0) tell_nameless_(st->st_ino, change);
  }
  for (const auto& [layer, root] : roots_) {
    const std::string above = PlaceOf(root.get()) + "/";
    if (whole.size() <= above.size() || whole.compare(0, above.size(), above) != 0) continue;
    tell_(layer, whole.substr(above.size()), change);
  }
}

void MappedFiles::LookAtAll() {
  const Lock lock(mutex_);
  for (const auto& [key, file] : files_) {
    // Writes the pages out and makes them read-only again, so that the next store is noticed.
    const bool synced = ::fdatasync(file.get()) == 0;
    TellOf(file.get(), synced && StoresMoveTimes(file.get()));
  }
  SweepLocked();
}

void MappedFiles::Sweep() {
  const Lock lock(mutex_);
  SweepLocked();
}

void MappedFiles::SweepLocked() {
  for (auto it = files_.begin(); it != files_.end();) {
    if (HasWriters(it->second.get(), true)) {
      ++it;
      continue;
    }
    TellOf(it->second.get(), StoresMoveTimes(it->second.get()));
    it = files_.erase(it);
  }
}

}  // namespace tierfs
