#include "fs/jobs/history/noted_names.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fs/os/beneath.h"
#include "fs/os/paths.h"

namespace tierfs::history {

NotedNames::NotedNames(const std::string& tree, const std::map<std::string, Noted>& notes, const std::set<std::string>& changed)
    : notes_(notes), tree_(::open(tree.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  for (const auto& [path, note] : notes) {
    if (!changed.contains(path)) continue;
    if (const File file = LinkedFile(path); file.second != 0) names_[file] = path;
  }
}

NotedNames::File NotedNames::LinkedFile(const std::string& path) const {
  const auto entry = OpenBeneath(tree_.get(), path, O_PATH | O_NOFOLLOW);
  if (!entry) return {};
  const auto st = StatFd(entry->get());
  return st && !S_ISDIR(st->st_mode) && st->st_nlink > 1 ? File{st->st_dev, st->st_ino} : File{};
}

NotedNames::Found NotedNames::Of(const std::string& path) const {
  if (const auto own = notes_.find(path); own != notes_.end()) return {&own->second, path};
  if (!names_.empty()) {
    if (const auto other = names_.find(LinkedFile(path)); other != names_.end()) return {&notes_.at(other->second), other->second};
  }
  for (std::string above = path; !above.empty();) {
    above = ParentOf(above);
    const auto found = notes_.find(above);
    if (found != notes_.end() && found->second.beneath) return {&found->second, above};
  }
  return {};
}

}  // namespace tierfs::history
