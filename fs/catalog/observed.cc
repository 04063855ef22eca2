#include "fs/catalog/observed.h"

#include <fcntl.h>

#include <algorithm>
#include <ctime>

#include "fs/os/beneath.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"
#include "fs/tier/entry.h"

namespace tierfs {
namespace {

std::int64_t Nanoseconds(const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

bool Absent(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP; }

}  // namespace

Observed ObservedOf(const struct stat& st) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Observed seen;
  seen.present = true;
  seen.type = IsWhiteout(st) ? kWhiteoutType : st.st_mode & S_IFMT;
  seen.inode = st.st_ino;
  seen.links = S_ISDIR(st.st_mode) ? 1 : st.st_nlink;
  // The size of a directory carries no information.
  seen.size = S_ISDIR(st.st_mode) ? 0 : st.st_size;
  seen.mtime = Nanoseconds(st.st_mtim);
  seen.ctime = Nanoseconds(st.st_ctim);
  if (Nanoseconds(now) - seen.ctime < kClockTickNs) seen.ctime = 0;
  return seen;
}

Result<Observed> Observer::At(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash);
  if (!directory_fd_ || directory != directory_) {
    directory_fd_.Reset();
    auto opened = OpenBeneath(root_, directory, O_PATH | O_DIRECTORY);
    if (!opened) return Absent(opened.error()) ? Result<Observed>(Observed{}) : tl::unexpected(opened.error());
    directory_fd_ = std::move(*opened);
    directory_ = directory;
  }
  const std::string name = path.empty() ? "." : path.substr(slash == std::string::npos ? 0 : slash + 1);
  const auto st = StatEntry(directory_fd_.get(), name.c_str());
  if (!st) return Absent(st.error()) ? Result<Observed>(Observed{}) : tl::unexpected(st.error());
  return ObservedOf(*st);
}

TreeWalk::TreeWalk(int root, const std::string& start) : root_(root), start_(start) {}

Status TreeWalk::Enter(UniqueFd directory, const std::string& path) {
  Level level;
  TIERFS_TRY(ForEachEntry(directory.get(), [&](const dirent64& entry) -> Status {
    level.names.emplace_back(entry.d_name);
    return {};
  }));
  std::sort(level.names.begin(), level.names.end());
  level.directory = std::move(directory);
  level.path = path;
  levels_.push_back(std::move(level));
  return {};
}

Result<bool> TreeWalk::Next(Item& item) {
  if (!started_) {
    started_ = true;
    TIERFS_ASSIGN(item.observed, Observer(root_).At(start_));
    item.path = start_;
    if (!item.observed.present) return false;
    if (item.observed.IsDir()) {
      auto directory = OpenBeneath(root_, start_, O_RDONLY | O_DIRECTORY);
      if (directory) {
        TIERFS_TRY(Enter(std::move(*directory), start_));
      } else if (!Absent(directory.error())) {
        return tl::unexpected(directory.error());
      }
    }
    return true;
  }
  while (!levels_.empty()) {
    Level& level = levels_.back();
    if (level.next == level.names.size()) {
      levels_.pop_back();
      continue;
    }
    const std::string& name = level.names[level.next++];
    const auto st = StatEntry(level.directory.get(), name.c_str());
    if (!st && Absent(st.error())) continue;
    if (!st) return tl::unexpected(st.error());
    item.path = JoinPath(level.path, name);
    item.observed = ObservedOf(*st);
    if (item.observed.IsDir()) {
      auto beneath = OpenEntry(level.directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY);
      if (beneath) {
        TIERFS_TRY(Enter(std::move(*beneath), item.path));
      } else if (!Absent(beneath.error())) {
        return tl::unexpected(beneath.error());
      }
    }
    return true;
  }
  return false;
}

}  // namespace tierfs
