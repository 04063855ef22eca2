#include "fs/jobs/snapshot/mappings.h"

#include <dirent.h>
#include <fnmatch.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <set>

namespace tierfs::snapshot {
namespace {

std::string ProgramOf(const std::string& process) {
  std::ifstream file("/proc/" + process + "/comm");
  std::string program;
  std::getline(file, program);
  return program;
}

// A line of /proc/PID/maps: "7f..-7f.. rw-s 00000000 00:3a 12345      /path".
struct Line {
  bool writable_and_shared = false;
  dev_t device = 0;
  std::uint64_t inode = 0;
  std::string path;
};

bool Parse(const std::string& text, Line& line) {
  char permissions[5] = {};
  unsigned major = 0;
  unsigned minor = 0;
  unsigned long long inode = 0;
  int path = 0;
  if (std::sscanf(text.c_str(), "%*s %4s %*s %x:%x %llu %n", permissions, &major, &minor, &inode, &path) != 4) return false;
  line.writable_and_shared = permissions[1] == 'w' && permissions[3] == 's';
  line.device = ::makedev(major, minor);
  line.inode = inode;
  line.path = path > 0 ? text.substr(static_cast<std::size_t>(path)) : "";
  return true;
}

}  // namespace

std::vector<protocol::MappedFile> WritableMappings(dev_t device, const std::function<bool(std::uint64_t inode)>& concerns) {
  std::vector<protocol::MappedFile> mapped;
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(::opendir("/proc"), ::closedir);
  if (!processes) return mapped;
  std::set<std::uint64_t> seen;
  while (const dirent* entry = ::readdir(processes.get())) {
    const std::string process = entry->d_name;
    if (process.find_first_not_of("0123456789") != std::string::npos) continue;
    std::ifstream maps("/proc/" + process + "/maps");
    Line line;
    for (std::string text; std::getline(maps, text);) {
      if (!Parse(text, line) || !line.writable_and_shared || line.device != device || !concerns(line.inode)) continue;
      if (seen.insert(line.inode).second) mapped.push_back({line.path, std::stoll(process), ProgramOf(process)});
    }
  }
  std::sort(mapped.begin(), mapped.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return mapped;
}

bool MatchesName(const std::string& path, const std::vector<std::string>& patterns) {
  const std::string name = path.substr(path.rfind('/') + 1);
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0; });
}

std::vector<protocol::MappedFile> WithoutNames(std::vector<protocol::MappedFile> files, const std::vector<std::string>& patterns) {
  std::erase_if(files, [&](const protocol::MappedFile& file) { return MatchesName(file.path, patterns); });
  return files;
}

}  // namespace tierfs::snapshot
