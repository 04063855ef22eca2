#include "tests/mount/snapshot.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <sstream>

#include "fs/os/unique_fd.h"

namespace tierfs::test {
namespace {

// 2002-01-01. Earlier times were set by hand.
constexpr time_t kSetByHand = 1009843200;
constexpr int kMostLines = 20;

std::map<std::string, std::string> ReadXattrs(const std::string& path) {
  std::map<std::string, std::string> xattrs;
  char names[65536];
  char value[65536];
  const ssize_t length = ::llistxattr(path.c_str(), names, sizeof names);
  for (ssize_t at = 0; at < length;) {
    const std::string name = names + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    // XFS lists ACLs a second time, by its internal names.
    if (name.rfind("trusted.SGI_ACL_", 0) == 0) continue;
    if (name.rfind("trusted.overlay.", 0) == 0 || name.rfind("user.overlay.", 0) == 0 || name.rfind("trusted.tierfs.", 0) == 0) continue;
    const ssize_t size = ::lgetxattr(path.c_str(), name.c_str(), value, sizeof value);
    EXPECT_GE(size, 0) << path << " lists the xattr " << name << " but getxattr fails: " << std::strerror(errno);
    if (size >= 0) xattrs[name] = std::string(value, static_cast<std::size_t>(size));
  }
  return xattrs;
}

std::size_t HashContent(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOATIME));
  EXPECT_TRUE(file) << path << ": " << std::strerror(errno);
  if (!file) return 0;
  std::size_t hash = 0;
  char buffer[65536];
  ssize_t got = 0;
  std::string all;
  while ((got = ::read(file.get(), buffer, sizeof buffer)) > 0) all.append(buffer, static_cast<std::size_t>(got));
  EXPECT_EQ(got, 0) << path << ": " << std::strerror(errno);
  hash = std::hash<std::string>{}(all);
  return hash;
}

bool IsOverlayfs(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

void Read(const std::string& root, const std::string& path, Record record, Snapshot& snapshot) {
  const std::string full = path.empty() ? root : root + "/" + path;
  if (::lstat(full.c_str(), &record.st) != 0) {
    // In a directory with one layer only, the kernel's overlayfs lists a whiteout that hides
    // nothing.
    if (errno == ENOENT && IsOverlayfs(root)) return;
    ADD_FAILURE() << full << " is listed, but lstat fails: " << std::strerror(errno);
    return;
  }
  record.xattrs = ReadXattrs(full);
  if (S_ISREG(record.st.st_mode)) record.content_hash = HashContent(full);
  if (S_ISLNK(record.st.st_mode)) {
    char target[4097];
    const ssize_t length = ::readlink(full.c_str(), target, sizeof target);
    EXPECT_GE(length, 0) << full << ": " << std::strerror(errno);
    if (length >= 0) record.target.assign(target, static_cast<std::size_t>(length));
  }
  const bool is_dir = S_ISDIR(record.st.st_mode);
  EXPECT_TRUE(snapshot.emplace(path, std::move(record)).second) << full << " is listed twice";
  if (!is_dir) return;
  DIR* stream = ::opendir(full.c_str());
  EXPECT_NE(stream, nullptr) << full << ": " << std::strerror(errno);
  if (stream == nullptr) return;
  std::vector<std::pair<std::string, Record>> entries;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    Record listed;
    listed.listed_ino = entry->d_ino;
    listed.listed_type = entry->d_type;
    entries.emplace_back(name, listed);
  }
  ::closedir(stream);
  for (auto& [name, listed] : entries) Read(root, path.empty() ? name : path + "/" + name, std::move(listed), snapshot);
}

bool SetByHand(const struct stat& st) { return st.st_mtim.tv_sec < kSetByHand; }

// Maps each path to the first name of its inode. Equal maps mean equal groups of hard links.
std::map<std::string, std::string> LinkGroups(const Snapshot& snapshot) {
  std::map<std::pair<dev_t, ino_t>, std::string> first;
  std::map<std::string, std::string> groups;
  for (const auto& [path, record] : snapshot) {
    if (S_ISDIR(record.st.st_mode)) continue;
    groups[path] = first.try_emplace({record.st.st_dev, record.st.st_ino}, path).first->second;
  }
  return groups;
}

}  // namespace

Snapshot TakeSnapshot(const std::string& root) {
  Snapshot snapshot;
  Read(root, "", Record{}, snapshot);
  return snapshot;
}

Snapshot WithoutDirectoryTimes(Snapshot snapshot) {
  for (auto& [path, record] : snapshot) {
    if (S_ISDIR(record.st.st_mode)) record.st.st_mtim = {};
  }
  return snapshot;
}

std::string Difference(const Record& expected, const Record& actual) {
  const struct stat& a = expected.st;
  const struct stat& b = actual.st;
  std::ostringstream out;
  out << std::oct;
  if (a.st_mode != b.st_mode) out << " mode " << a.st_mode << " is " << b.st_mode;
  out << std::dec;
  if (a.st_uid != b.st_uid) out << " uid " << a.st_uid << " is " << b.st_uid;
  if (a.st_gid != b.st_gid) out << " gid " << a.st_gid << " is " << b.st_gid;
  if ((a.st_mode & S_IFMT) == (b.st_mode & S_IFMT)) {
    if (!S_ISDIR(a.st_mode) && a.st_nlink != b.st_nlink) out << " nlink " << a.st_nlink << " is " << b.st_nlink;
    if (!S_ISDIR(a.st_mode) && a.st_size != b.st_size) out << " size " << a.st_size << " is " << b.st_size;
    if (a.st_rdev != b.st_rdev) out << " device " << a.st_rdev << " is " << b.st_rdev;
    if (expected.content_hash != actual.content_hash) out << " content";
    if (expected.target != actual.target) out << " target " << expected.target << " is " << actual.target;
    if ((SetByHand(a) || SetByHand(b)) && (a.st_mtim.tv_sec != b.st_mtim.tv_sec || a.st_mtim.tv_nsec != b.st_mtim.tv_nsec)) {
      out << " mtime " << a.st_mtim.tv_sec << " is " << b.st_mtim.tv_sec;
    }
  }
  for (const auto& [name, value] : expected.xattrs) {
    const auto other = actual.xattrs.find(name);
    if (other == actual.xattrs.end()) {
      out << " xattr " << name << " is gone";
    } else if (other->second != value) {
      out << " xattr " << name << " has another value";
    }
  }
  for (const auto& [name, value] : actual.xattrs) {
    if (expected.xattrs.count(name) == 0) out << " xattr " << name << " is there";
  }
  return out.str();
}

std::string Differences(const Snapshot& expected, const Snapshot& actual) {
  std::ostringstream out;
  int lines = 0;
  const auto say = [&](const std::string& path, const std::string& what) {
    if (++lines <= kMostLines) out << "  /" << path << ": " << what << "\n";
  };
  for (const auto& [path, record] : expected) {
    const auto other = actual.find(path);
    if (other == actual.end()) {
      say(path, "is missing");
    } else if (const std::string what = Difference(record, other->second); !what.empty()) {
      say(path, what);
    }
  }
  for (const auto& [path, record] : actual) {
    if (expected.count(path) == 0) say(path, "should not be there");
  }
  if (lines == 0) {
    const auto groups = LinkGroups(actual);
    for (const auto& [path, first] : LinkGroups(expected)) {
      if (groups.at(path) != first) say(path, "is one inode with " + groups.at(path) + ", not with " + first);
    }
  }
  if (lines > kMostLines) out << "  and " << lines - kMostLines << " more\n";
  return out.str();
}

}  // namespace tierfs::test
