#include "fs/tier/name_index.h"

#include <fcntl.h>

#include <algorithm>
#include <string>

#include "fs/os/beneath.h"
#include "fs/os/list_dir.h"

namespace tierfs {

Result<NameIndex> NameIndex::Build(const std::vector<int>& roots) {
  NameIndex index;
  // The clock of which file systems take their times.
  ::clock_gettime(CLOCK_REALTIME_COARSE, &index.begun_);
  for (const int root : roots) {
    TIERFS_ASSIGN(const UniqueFd directory, OpenEntry(root, ".", O_RDONLY | O_DIRECTORY));
    TIERFS_ASSIGN(const struct stat st, StatFd(directory.get()));
    TIERFS_TRY(index.Add(directory.get(), st.st_dev));
  }
  std::sort(index.names_.begin(), index.names_.end());
  index.names_.shrink_to_fit();
  return index;
}

Status NameIndex::Add(int directory, dev_t device) {
  TIERFS_ASSIGN(const struct stat st, StatFd(directory));
  if (st.st_dev != device) return {};
  std::vector<std::string> below;
  TIERFS_TRY(ForEachEntry(directory, [&](const dirent64& entry) -> Status {
    if (entry.d_type == DT_DIR || entry.d_type == DT_UNKNOWN) below.emplace_back(entry.d_name);
    if (entry.d_type != DT_DIR) names_.emplace_back(entry.d_ino, st.st_ino);
    return {};
  }));
  for (const std::string& name : below) {
    const auto child = OpenEntry(directory, name.c_str(), O_RDONLY | O_DIRECTORY);
    // It was removed meanwhile, or it is no directory.
    if (!child && (child.error().code == ENOENT || child.error().code == ENOTDIR || child.error().code == ELOOP)) continue;
    if (!child) return tl::unexpected(child.error());
    TIERFS_TRY(Add(child->get(), device));
  }
  return {};
}

std::vector<std::uint64_t> NameIndex::DirectoriesOf(std::uint64_t inode) const {
  std::vector<std::uint64_t> directories;
  for (auto name = std::lower_bound(names_.begin(), names_.end(), std::pair(inode, std::uint64_t{0}));
       name != names_.end() && name->first == inode; ++name) {
    if (directories.empty() || directories.back() != name->second) directories.push_back(name->second);
  }
  return directories;
}

bool NameIndex::Covers(const timespec& change_time) const {
  return change_time.tv_sec < begun_.tv_sec || (change_time.tv_sec == begun_.tv_sec && change_time.tv_nsec < begun_.tv_nsec);
}

}  // namespace tierfs
