#include "tests/model/model.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kStoryLines = 60;
constexpr std::size_t kMostHandles = 6;
constexpr std::size_t kMostContent = 40'000;
constexpr off_t kFarthestOffset = 200'000;

}  // namespace

std::string Shown(const std::string& bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i >= 4 && bytes.compare(i - 4, 4, std::string(4, bytes[i])) == 0) continue;
    const char c = bytes[i];
    text += c > ' ' && c < 127 ? std::string(1, c) : "?";
  }
  return text;
}

void Model::Note(const std::string& line) {
  story_.push_back(std::to_string(step_) + " " + line);
  if (story_.size() > kStoryLines) story_.pop_front();
}

std::string Model::Story() const {
  std::string text;
  for (const std::string& line : story_) text += "  " + line + "\n";
  return text;
}

bool Model::Both(const std::string& what, const Call& call, int tolerated) {
  const int on_mount = Errno(call(mounted_));
  const auto shown = [](int error) { return error == 0 ? std::string("ok") : std::string(::strerrorname_np(error)); };
  Note(Shown(what) + " -> " + shown(on_mount));
  if (tolerated != 0 && on_mount == tolerated) return false;
  const int on_reference = Errno(call(reference_));
  EXPECT_EQ(shown(on_mount), shown(on_reference)) << Shown(what) << "\n" << Story();
  return on_mount == 0 && on_reference == 0;
}

bool Model::BothHandles(const std::string& what, const Handle& handle, const std::function<long(int fd)>& call) {
  const int on_mount = Errno(call(handle.mounted.get()));
  const int on_reference = Errno(call(handle.reference.get()));
  Note("handle of " + Shown(handle.path) + ": " + what + " -> " + std::to_string(on_mount));
  EXPECT_EQ(on_mount, on_reference) << what << " on a handle of " << Shown(handle.path) << "\n" << Story();
  return on_mount == 0 && on_reference == 0;
}

void Model::Created(const std::string& path) {
  struct stat st {};
  if (::lstat((reference_ + "/" + path).c_str(), &st) == 0) {
    new_inodes_.insert(st.st_ino);
    linked_.erase(st.st_ino);
  }
  known_.push_back(path);
}

std::string Model::Path() {
  if (known_.empty() || Chance(random_, 15)) return RandomPath(random_);
  const std::string path = known_[Below(random_, known_.size())];
  return Chance(random_, 20) ? path + "/" + RandomName(random_) : path;
}

std::string Model::Content() { return std::string(Below(random_, kMostContent), static_cast<char>('A' + Below(random_, 26))); }

void Model::LearnPaths() {
  known_.clear();
  std::error_code problem;
  for (fs::recursive_directory_iterator it(reference_, problem), end; it != end; it.increment(problem)) {
    known_.push_back(it->path().string().substr(reference_.size() + 1));
  }
  std::sort(known_.begin(), known_.end());
}

void Model::Settled() {
  may_be_misplaced_ = false;
  linked_.clear();
  std::error_code problem;
  for (fs::recursive_directory_iterator it(reference_, problem), end; it != end; it.increment(problem)) {
    struct stat st {};
    if (::lstat(it->path().c_str(), &st) == 0 && !S_ISDIR(st.st_mode) && st.st_nlink > 1) linked_.insert(st.st_ino);
  }
}

void Model::CloseAll() { handles_.clear(); }

void Model::WriteWhole() {
  const std::string path = Path();
  const int flags = O_WRONLY | O_CLOEXEC | (Chance(random_, 70) ? O_CREAT : 0) | (Chance(random_, 20) ? O_EXCL : 0) |
                    (Chance(random_, 40) ? O_TRUNC : 0) | (Chance(random_, 20) ? O_APPEND : 0) | O_NOFOLLOW | O_NONBLOCK;
  const std::string content = Content();
  const off_t offset = Chance(random_, 30) ? static_cast<off_t>(Below(random_, kFarthestOffset)) : 0;
  const mode_t mode = Chance(random_, 50) ? 0644 : 0600;
  const bool existed = Exists(reference_ + "/" + path);
  const bool synced = Chance(random_, 10);
  struct stat st {};
  // Devices and fifos are not opened.
  if (::lstat((reference_ + "/" + path).c_str(), &st) == 0 && !S_ISREG(st.st_mode)) return;
  const bool done = Both("write " + path + " flags " + std::to_string(flags & (O_CREAT | O_EXCL | O_TRUNC | O_APPEND)),
                         [&](const std::string& root) -> long {
                           const UniqueFd fd(::open((root + "/" + path).c_str(), flags, mode));
                           if (!fd) return -1;
                           if (::pwrite(fd.get(), content.data(), content.size(), offset) != static_cast<ssize_t>(content.size()))
                             return -1;
                           return synced ? ::fsync(fd.get()) : 0;
                         });
  if (done && !existed) Created(path);
}

void Model::OpenHandle() {
  if (handles_.size() >= kMostHandles) {
    Note("close " + Shown(handles_.front().path));
    handles_.erase(handles_.begin());
  }
  const std::string path = Path();
  struct stat st {};
  if (::lstat((reference_ + "/" + path).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
  static constexpr int kModes[] = {O_RDONLY, O_RDWR, O_WRONLY, O_RDWR | O_APPEND, O_RDWR | O_TRUNC};
  const int flags = kModes[Below(random_, std::size(kModes))] | O_CLOEXEC;
  Handle handle;
  handle.path = path;
  handle.writes = (flags & O_ACCMODE) != O_RDONLY;
  Both("open " + path + " flags " + std::to_string(flags & ~O_CLOEXEC), [&](const std::string& root) -> long {
    UniqueFd& fd = &root == &mounted_ ? handle.mounted : handle.reference;
    fd = UniqueFd(::open((root + "/" + path).c_str(), flags));
    return fd ? 0 : -1;
  });
  if (handle.mounted && handle.reference) handles_.push_back(std::move(handle));
}

void Model::UseHandle() {
  if (handles_.empty()) return;
  const std::size_t index = Below(random_, handles_.size());
  const Handle& handle = handles_[index];
  const off_t offset = static_cast<off_t>(Below(random_, kFarthestOffset));
  const std::string content = Content();
  switch (Below(random_, 7)) {
    case 0:
    case 1:
      BothHandles("pwrite", handle, [&](int fd) { return ::pwrite(fd, content.data(), content.size(), offset); });
      break;
    case 2: {
      std::string seen[2];
      BothHandles("pread", handle, [&](int fd) -> long {
        std::string& text = fd == handle.mounted.get() ? seen[0] : seen[1];
        text.assign(kMostContent, '\0');
        const ssize_t got = ::pread(fd, text.data(), text.size(), offset / 4);
        text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
        return got;
      });
      EXPECT_EQ(seen[0] == seen[1], true) << "a handle of " << Shown(handle.path) << " reads other content\n" << Story();
      break;
    }
    case 3:
      BothHandles("ftruncate", handle, [&](int fd) { return ::ftruncate(fd, offset); });
      break;
    case 4: {
      struct stat st[2] = {};
      BothHandles("fstat", handle, [&](int fd) { return ::fstat(fd, fd == handle.mounted.get() ? &st[0] : &st[1]); });
      EXPECT_EQ(st[0].st_size, st[1].st_size) << "size by a handle of " << Shown(handle.path) << "\n" << Story();
      EXPECT_EQ(st[0].st_nlink, st[1].st_nlink) << "links by a handle of " << Shown(handle.path) << "\n" << Story();
      EXPECT_EQ(st[0].st_mode, st[1].st_mode) << "mode by a handle of " << Shown(handle.path) << "\n" << Story();
      break;
    }
    case 5:
      BothHandles("fsync", handle, [](int fd) { return ::fsync(fd); });
      break;
    default:
      BothHandles("fchmod", handle, [&](int fd) { return ::fchmod(fd, static_cast<mode_t>(0600 | (offset & 0177))); });
  }
}

void Model::Map() {
  for (const Handle& handle : handles_) {
    struct stat st {};
    if (!handle.writes || (::fcntl(handle.reference.get(), F_GETFL) & O_ACCMODE) != O_RDWR) continue;
    if (::fstat(handle.reference.get(), &st) != 0 || st.st_size == 0) continue;
    const auto length = static_cast<std::size_t>(st.st_size);
    const std::size_t at = Below(random_, length);
    BothHandles("write by a mapping", handle, [&](int fd) -> long {
      void* map = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (map == MAP_FAILED) return -1;
      std::memset(static_cast<char*>(map) + at, 'm', std::min<std::size_t>(length - at, 100));
      const int synced = ::msync(map, length, MS_SYNC);
      ::munmap(map, length);
      return synced;
    });
    return;
  }
}

void Model::Rename() {
  const std::string from = Path();
  const std::string to = Path();
  const unsigned choice = static_cast<unsigned>(Below(random_, 10));
  const unsigned flags = choice == 0 ? static_cast<unsigned>(RENAME_NOREPLACE) : choice == 1 ? static_cast<unsigned>(RENAME_EXCHANGE) : 0U;
  const bool exchange = flags == RENAME_EXCHANGE;
  if (several_disks_ && !handles_.empty()) may_be_misplaced_ = true;
  const bool done = Both(
      "rename " + from + " to " + to + " flags " + std::to_string(flags),
      [&](const std::string& root) -> long {
        return ::renameat2(AT_FDCWD, (root + "/" + from).c_str(), AT_FDCWD, (root + "/" + to).c_str(), flags);
      },
      exchange&& several_disks_ ? EXDEV : 0);
  if (done) known_.push_back(to);
}

void Model::Link() {
  const std::string from = Path();
  const std::string to = Path();
  const bool done = Both(
      "link " + from + " to " + to,
      [&](const std::string& root) -> long {
        return ::linkat(AT_FDCWD, (root + "/" + from).c_str(), AT_FDCWD, (root + "/" + to).c_str(), 0);
      },
      several_disks_ ? EXDEV : 0);
  struct stat st {};
  if (!done || ::lstat((reference_ + "/" + to).c_str(), &st) != 0) return;
  known_.push_back(to);
  linked_.insert(st.st_ino);
}

void Model::Temporary() {
  const std::string directory = fs::path(Path()).parent_path();
  const std::string name = Path();
  const std::string content = Content();
  const bool done = Both(
      "O_TMPFILE in " + directory + " linked to " + name,
      [&](const std::string& root) -> long {
        const UniqueFd fd(::open((root + "/" + directory).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0640));
        if (!fd) return -1;
        if (::pwrite(fd.get(), content.data(), content.size(), 0) < 0) return -1;
        return ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), AT_FDCWD, (root + "/" + name).c_str(),
                        AT_SYMLINK_FOLLOW);
      },
      several_disks_ ? EXDEV : 0);
  if (done) Created(name);
}

void Model::Make() {
  const std::string path = Path();
  bool done = false;
  switch (Below(random_, 6)) {
    case 0:
      done = Both("symlink " + path, [&](const std::string& root) { return ::symlink("a/../b", (root + "/" + path).c_str()); });
      break;
    case 1:
      done = Both("mkfifo " + path, [&](const std::string& root) { return ::mknod((root + "/" + path).c_str(), S_IFIFO | 0640, 0); });
      break;
    case 2:
      done = Both("mknod " + path,
                  [&](const std::string& root) { return ::mknod((root + "/" + path).c_str(), S_IFCHR | 0600, makedev(1, 3)); });
      break;
    default:
      done = Both("mkdir " + path, [&](const std::string& root) { return ::mkdir((root + "/" + path).c_str(), 0750); });
  }
  if (done) Created(path);
}

void Model::Remove() {
  const std::string path = Path();
  if (Chance(random_, 50)) {
    Both("unlink " + path, [&](const std::string& root) { return ::unlink((root + "/" + path).c_str()); });
  } else {
    Both("rmdir " + path, [&](const std::string& root) { return ::rmdir((root + "/" + path).c_str()); });
  }
}

void Model::RemoveTree() {
  const std::string path = Path();
  Both("rm -r " + path, [&](const std::string& root) -> long {
    std::error_code problem;
    fs::remove_all(root + "/" + path, problem);
    errno = problem.value();
    return problem ? -1 : 0;
  });
}

void Model::ChangeAttributes() {
  const std::string path = Path();
  const auto value = static_cast<unsigned>(Below(random_, 4));
  struct stat st {};
  const bool symlink = ::lstat((reference_ + "/" + path).c_str(), &st) == 0 && S_ISLNK(st.st_mode);
  switch (Below(random_, 6)) {
    case 0: {
      if (symlink) return;
      // No setuid or setgid files: with passthrough, a write by root clears these bits.
      static constexpr mode_t kFileModes[] = {0644, 0600, 0755, 01640};
      static constexpr mode_t kDirModes[] = {0755, 02750, 01777, 03700};
      Both("chmod " + path, [&](const std::string& root) {
        return ::chmod((root + "/" + path).c_str(), S_ISDIR(st.st_mode) ? kDirModes[value] : kFileModes[value]);
      });
      break;
    }
    case 1:
      Both("chown " + path, [&](const std::string& root) { return ::lchown((root + "/" + path).c_str(), value * 10, value * 20); });
      break;
    case 2:
      Both("setxattr " + path,
           [&](const std::string& root) { return ::lsetxattr((root + "/" + path).c_str(), "user.set", &value, value, 0); });
      break;
    case 3:
      Both("removexattr " + path,
           [&](const std::string& root) { return ::lremovexattr((root + "/" + path).c_str(), value < 2 ? "user.set" : "user.lower"); });
      break;
    case 4: {
      const timespec times[2] = {{1000, 1}, {1'000'000 + value, 7}};
      Both("utimens " + path,
           [&](const std::string& root) { return ::utimensat(AT_FDCWD, (root + "/" + path).c_str(), times, AT_SYMLINK_NOFOLLOW); });
      break;
    }
    default:
      if (symlink) return;
      Both("truncate " + path,
           [&](const std::string& root) { return ::truncate((root + "/" + path).c_str(), static_cast<off_t>(value) * 5000); });
  }
}

void Model::ReadBoth() {
  const std::string path = Path();
  struct stat st {};
  if (::lstat((reference_ + "/" + path).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
  EXPECT_TRUE(ReadFile(mounted_ + "/" + path) == ReadFile(reference_ + "/" + path)) << Shown(path) << " reads differently\n" << Story();
}

void Model::Step() {
  ++step_;
  const std::size_t choice = Below(random_, 100);
  if (choice < 22) return WriteWhole();
  if (choice < 34) return Make();
  if (choice < 48) return Rename();
  if (choice < 53) return Link();
  if (choice < 55) return Temporary();
  if (choice < 63) return Remove();
  if (choice < 64) return RemoveTree();
  if (choice < 76) return ChangeAttributes();
  if (choice < 82) return OpenHandle();
  if (choice < 92) return UseHandle();
  if (choice < 95) return Map();
  if (choice < 97 && !handles_.empty()) {
    const std::size_t index = Below(random_, handles_.size());
    Note("close " + Shown(handles_[index].path));
    handles_.erase(handles_.begin() + static_cast<std::ptrdiff_t>(index));
    return;
  }
  return ReadBoth();
}

}  // namespace tierfs::test
