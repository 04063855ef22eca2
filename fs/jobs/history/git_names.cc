// The names that git does not take.
#include <algorithm>
#include <array>

#include "fs/jobs/history/repository.h"

namespace tierfs::history {
namespace {

// Characters that HFS+ ignores in a name, in UTF-8; git looks for a hidden ".git" among them
// (git's utf8.c, next_hfs_char).
constexpr std::array<std::string_view, 16> kIgnored = {"\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d",
                                                       "\u202e", "\u206a", "\u206b", "\u206c", "\u206d", "\u206e", "\u206f", "\ufeff"};

std::string Folded(std::string_view name) {
  std::string folded;
  for (std::size_t at = 0; at < name.size();) {
    const auto ignored =
        std::find_if(kIgnored.begin(), kIgnored.end(), [&](std::string_view each) { return name.substr(at).starts_with(each); });
    if (ignored != kIgnored.end()) {
      at += ignored->size();
      continue;
    }
    const char c = name[at++];
    folded += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return folded;
}

// Whether some system takes the name for ".git" (git's path.c, is_ntfs_dotgit).
bool IsDotGit(std::string_view name) {
  const std::string folded = Folded(name);
  for (const std::string_view base : {".git", "git~1"}) {
    if (!folded.starts_with(base)) continue;
    const std::size_t rest = folded.find_first_not_of(" .", base.size());
    if (rest == std::string::npos || folded[rest] == '\\' || folded[rest] == ':') return true;
  }
  return false;
}

}  // namespace

const char* WhyGitCannotHold(const std::string& path) {
  if (path.empty()) return "has no name";
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t slash = std::min(path.find('/', start), path.size());
    const std::string_view name = std::string_view(path).substr(start, slash - start);
    if (name.empty() || name == "." || name == "..") return "is not the path of a file";
    if (IsDotGit(name)) return "belongs to a git repository";
    if (start == 0 && name == kMetaDirectory) return "has the name of the attributes in a commit";
    start = slash + 1;
  }
  if (path.find('\0') != std::string::npos) return "is not the path of a file";
  return nullptr;
}

}  // namespace tierfs::history
