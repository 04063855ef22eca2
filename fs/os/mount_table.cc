#include "fs/os/mount_table.h"

#include <fstream>
#include <sstream>
#include <string_view>

namespace tierfs {
namespace {

// Decodes the octal escapes of mountinfo (proc(5): space, tab, newline, backslash).
std::string Unescape(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<MountEntry> AllMounts() {
  std::vector<MountEntry> mounts;
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream left(line.substr(0, separator));
    std::istringstream right(line.substr(separator + 3));
    std::string ignored;
    MountEntry mount;
    left >> ignored >> ignored >> ignored >> ignored >> mount.mountpoint >> mount.options;
    right >> mount.type >> mount.source;
    mount.mountpoint = Unescape(mount.mountpoint);
    mount.source = Unescape(mount.source);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

std::vector<MountedFs> TierfsMounts() {
  std::vector<MountedFs> mounts;
  for (MountEntry& mount : AllMounts()) {
    if (mount.type == "fuse.tierfs") mounts.push_back({std::move(mount.mountpoint), std::move(mount.source)});
  }
  return mounts;
}

}  // namespace tierfs
