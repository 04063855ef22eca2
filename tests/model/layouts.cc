#include "tests/model/layouts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

constexpr int kEntries = 60;
constexpr int kLinks = 40;

void GiveAttributes(Random& random, const std::string& path, const struct stat& st) {
  if (S_ISLNK(st.st_mode)) return;
  int failed = 0;
  if (Chance(random, 30))
    failed += ::chown(path.c_str(), static_cast<uid_t>(Below(random, 3)) * 1000, static_cast<gid_t>(Below(random, 3)) * 100);
  if (Chance(random, 30)) failed += ::chmod(path.c_str(), static_cast<mode_t>(Below(random, S_ISDIR(st.st_mode) ? 010000 : 01000)));
  if (Chance(random, 20) && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) failed += ::setxattr(path.c_str(), "user.lower", "low", 3, 0);
  const timespec times[2] = {{static_cast<time_t>(Below(random, 1'000'000'000)), 1},
                             {static_cast<time_t>(Below(random, 1'000'000'000)), 2}};
  failed += ::utimensat(AT_FDCWD, path.c_str(), times, 0);
  EXPECT_EQ(failed, 0) << path << ": " << std::strerror(errno);
}

}  // namespace

void FillLower(Random& random, const std::string& directory, bool marks) {
  for (int i = 0; i < kEntries; ++i) {
    const std::string path = directory + "/" + RandomPath(random);
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    switch (Below(random, 8)) {
      case 0:
        ::mkdir(path.c_str(), 0755);
        break;
      case 1:
        if (::symlink(RandomName(random).c_str(), path.c_str()) != 0) break;
        break;
      case 2:
        ::mknod(path.c_str(), S_IFIFO | 0640, 0);
        break;
      case 3:
        if (marks) ::mknod(path.c_str(), S_IFCHR, makedev(0, 0));
        break;
      case 4:
        if (marks && ::mkdir(path.c_str(), 0755) == 0) {
          EXPECT_EQ(::setxattr(path.c_str(), "trusted.overlay.opaque", "y", 1, 0), 0) << std::strerror(errno);
        }
        break;
      default: {
        const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0) break;
        const std::string text(Below(random, 20'000), static_cast<char>('a' + Below(random, 26)));
        EXPECT_EQ(::pwrite(fd, text.data(), text.size(), static_cast<off_t>(Below(random, 3)) * 65536), static_cast<ssize_t>(text.size()));
        ::close(fd);
      }
    }
  }
  std::error_code ignored;
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored)) {
    struct stat st {};
    if (::lstat(entry.path().c_str(), &st) != 0 || (S_ISCHR(st.st_mode) && st.st_rdev == 0)) continue;
    GiveAttributes(random, entry.path(), st);
    if (!S_ISDIR(st.st_mode)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (int i = 0; i < kLinks && !files.empty(); ++i) {
    const std::string path = directory + "/" + RandomPath(random);
    if (::link(files[Below(random, files.size())].c_str(), path.c_str()) == 0) files.push_back(path);
  }
}

void SplitHiddenLinks(const std::string& shown, const std::vector<std::string>& layers) {
  for (const std::string& layer : layers) {
    std::map<ino_t, std::vector<std::string>> names;
    std::set<ino_t> hidden;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(layer)) {
      struct stat st {};
      struct stat seen {};
      ASSERT_EQ(::lstat(entry.path().c_str(), &st), 0) << std::strerror(errno);
      if (S_ISDIR(st.st_mode) || st.st_nlink < 2) continue;
      names[st.st_ino].push_back(entry.path());
      // Each file of the layers has a time of its own.
      const std::string above = shown + entry.path().string().substr(layer.size());
      const bool same = ::lstat(above.c_str(), &seen) == 0 && (seen.st_mode & S_IFMT) == (st.st_mode & S_IFMT) &&
                        seen.st_mtim.tv_sec == st.st_mtim.tv_sec && seen.st_mtim.tv_nsec == st.st_mtim.tv_nsec;
      if (!same) hidden.insert(st.st_ino);
    }
    for (const ino_t inode : hidden) {
      for (const std::string& name : names[inode]) {
        const Ran split = Execute({"cp", "-a", "--no-preserve=links", name, layer + "/.split"});
        ASSERT_EQ(split.code, 0) << split.err;
        ASSERT_EQ(::rename((layer + "/.split").c_str(), name.c_str()), 0) << std::strerror(errno);
      }
    }
  }
}

}  // namespace tierfs::test
