#include "fs/catalog/mapped_files.h"

#include <unistd.h>

#include <climits>
#include <string_view>

#include "fs/os/beneath.h"
#include "fs/os/writers.h"

namespace tierfs {
namespace {

// Where an open file is now (proc(5)); longer than PATH_MAX it cannot be said.
std::string PlaceOf(int file) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(ProcPath(file).c_str(), path, sizeof path);
  return {path, size > 0 ? static_cast<std::size_t>(size) : 0};
}

}  // namespace

bool MappedFiles::Add(LayerIndex layer, UniqueFd file) {
  const auto st = StatFd(file.get());
  if (!st || !S_ISREG(st->st_mode) || st->st_nlink == 0 || !HasWriters(file.get(), true)) return true;
  const std::lock_guard lock(mutex_);
  if (files_.size() >= kLimit) SweepLocked();
  if (files_.size() >= kLimit) return false;
  files_.insert_or_assign(std::pair(layer, st->st_ino), File{layer, std::move(file)});
  return true;
}

void MappedFiles::TellOf(const File& file, bool stores_seen) const {
  const std::string whole = PlaceOf(file.file.get());
  const std::string above = PlaceOf(roots_.at(file.layer).get());
  if (whole.size() <= above.size() + 1 || std::string_view(whole).substr(0, above.size()) != above) return;
  tell_(file.layer, whole.substr(above.size() + 1), stores_seen ? Feed::Change::kContent : Feed::Change::kUnknown);
}

void MappedFiles::LookAtAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, file] : files_) {
    // Writes the pages out and makes them read-only again, so that the next store is noticed.
    const bool synced = ::fdatasync(file.file.get()) == 0;
    TellOf(file, synced && StoresMoveTimes(file.file.get()));
  }
  SweepLocked();
}

void MappedFiles::Sweep() {
  const std::lock_guard lock(mutex_);
  SweepLocked();
}

void MappedFiles::SweepLocked() {
  for (auto it = files_.begin(); it != files_.end();) {
    if (HasWriters(it->second.file.get(), true)) {
      ++it;
      continue;
    }
    TellOf(it->second, StoresMoveTimes(it->second.file.get()));
    it = files_.erase(it);
  }
}

}  // namespace tierfs
