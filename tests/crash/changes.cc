#include "tests/crash/changes.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <vector>

#include "fs/os/unique_fd.h"
#include "tests/policy/planted_secrets.h"

namespace tierfs::test {
namespace {

const std::array<const char*, 34> kNames = {
    "etc/a",         "etc/b",          "etc/c",     "etc/d",       "etc/d/x",     "etc/d/y",           "etc/d/deep/z",      "etc/e",
    "etc/e/x",       "etc/e/deep",     "etc/f.tmp", "etc/g.tmp",   "etc/d/h.tmp", "etc/\xff\xfe x",    "etc/new\nline",     "etc/conf",
    "etc/acl",       "etc/link",       "etc/-dash", "etc/\"q\"\\", "etc/.git",    "etc/.git/config",   "etc/tab\t",         "data/p",
    "data/q",        "usr/share/one",  "etc/from",  "etc/#hash",   "etc/s p a ",  "etc/d.d/10-x.conf", "etc/d.d/20-y.conf", "etc/d.d",
    "etc/.hidden/u", "etc/caf\xc3\xa9"};

// An ACL for user 7 beside the owner, group and others (linux/posix_acl_xattr.h).
std::string Acl(unsigned permissions) {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  const auto bits = static_cast<std::uint16_t>(permissions & 7U);
  const std::array<Entry, 5> entries = {{{1, 6, ~0U}, {2, bits, 7}, {4, 4, ~0U}, {0x10, 7, ~0U}, {0x20, 4, ~0U}}};
  const std::uint32_t version = 2;
  std::string value(reinterpret_cast<const char*>(&version), sizeof version);
  return value.append(reinterpret_cast<const char*>(entries.data()), sizeof entries);
}

class Changer {
 public:
  Changer(std::string root, unsigned seed) : root_(std::move(root)), random_(seed), secrets_(testing::PlantedTokens()) {}

  // Returns false when the file system is gone.
  bool ChangeOnce() {
    using Change = void (Changer::*)();
    static constexpr std::array<Change, 26> kChanges = {
        &Changer::Write,    &Changer::Write,    &Changer::Write, &Changer::Append,   &Changer::Append, &Changer::Truncate, &Changer::Rename,
        &Changer::Rename,   &Changer::Save,     &Changer::Save,  &Changer::Exchange, &Changer::Link,   &Changer::Unlink,   &Changer::Unlink,
        &Changer::MakeDirs, &Changer::MakeDirs, &Changer::Rmdir, &Changer::Chmod,    &Changer::Chown,  &Changer::Xattr,    &Changer::SetAcl,
        &Changer::Symlink,  &Changer::MakeNode, &Changer::Map,   &Changer::Nameless, &Changer::Replace};
    errno = 0;
    (this->*kChanges[random_() % kChanges.size()])();
    return errno != ENOTCONN && errno != ECONNABORTED;
  }

 private:
  std::string Any() { return root_ + "/" + kNames[random_() % kNames.size()]; }
  bool OneIn(unsigned n) { return random_() % n == 0; }
  std::string Content() {
    if (OneIn(12)) return secrets_[random_() % secrets_.size()].content;
    if (OneIn(20)) return std::string("bin\0ary", 7);
    std::string content;
    for (unsigned lines = random_() % 40; lines > 0; --lines) content += "line " + std::to_string(random_() % 100000) + "\n";
    return content;
  }
  void MakeParents(const std::string& path) {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  }
  void Put(const std::string& path, int flags, const std::string& content) {
    const UniqueFd file(::open(path.c_str(), flags | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, OneIn(3) ? 0600 : 0644));
    if (!file) return;
    const std::size_t half = content.size() / 2;
    (void)!::write(file.get(), content.data(), half);
    (void)!::write(file.get(), content.data() + half, content.size() - half);
  }

  void Write() {
    const std::string path = Any();
    MakeParents(path);
    Put(path, O_WRONLY | O_TRUNC, Content());
  }
  void Append() { Put(Any(), O_WRONLY | O_APPEND, Content()); }
  void Truncate() { ::truncate(Any().c_str(), static_cast<off_t>(random_() % 200)); }
  void Rename() { ::rename(Any().c_str(), Any().c_str()); }
  // As an editor saves: a temporary file, in another tier or not, then a rename.
  void Save() {
    const std::string path = Any();
    const std::string temporary = path + (OneIn(2) ? ".tmp" : "~");
    MakeParents(path);
    Put(temporary, O_WRONLY | O_TRUNC, Content());
    if (::rename(temporary.c_str(), path.c_str()) != 0 && errno != ENOTCONN) ::unlink(temporary.c_str());
  }
  void Exchange() { ::renameat2(AT_FDCWD, Any().c_str(), AT_FDCWD, Any().c_str(), RENAME_EXCHANGE); }
  void Link() { ::link(Any().c_str(), Any().c_str()); }
  void Unlink() { ::unlink(Any().c_str()); }
  void MakeDirs() {
    const std::string path = Any();
    MakeParents(path);
    ::mkdir(path.c_str(), OneIn(2) ? 0755 : 0750);
  }
  void Rmdir() { ::rmdir(Any().c_str()); }
  void Chmod() { ::chmod(Any().c_str(), static_cast<mode_t>(0400 + random_() % 0400) | (OneIn(5) ? 04000 : 0)); }
  void Chown() { ::lchown(Any().c_str(), static_cast<uid_t>(random_() % 3), static_cast<gid_t>(random_() % 3)); }
  void Xattr() {
    const std::string path = Any();
    const std::string name = OneIn(2) ? "user.note" : OneIn(2) ? "trusted.odd=name \\" : "user.b";
    const std::string value(random_() % 40, static_cast<char>(random_()));
    if (OneIn(3)) {
      ::lremovexattr(path.c_str(), name.c_str());
    } else {
      ::lsetxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0);
    }
  }
  void SetAcl() {
    const std::string path = Any();
    const std::string value = Acl(static_cast<unsigned>(random_()));
    const char* name = OneIn(3) ? "system.posix_acl_default" : "system.posix_acl_access";
    if (OneIn(4)) {
      ::removexattr(path.c_str(), name);
    } else {
      ::setxattr(path.c_str(), name, value.data(), value.size(), 0);
    }
  }
  void Symlink() {
    const std::string path = Any();
    MakeParents(path);
    ::symlink(OneIn(2) ? "a target\n\xff" : "../data/p", path.c_str());
  }
  void MakeNode() {
    const std::string path = Any();
    MakeParents(path);
    const std::array<mode_t, 3> types = {S_IFIFO, S_IFSOCK, S_IFCHR};
    ::mknod(path.c_str(), types[random_() % 3] | 0640, makedev(1, 3));
  }
  // Stores through a mapping, mostly after the descriptor was closed.
  void Map() {
    UniqueFd file(::open(Any().c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644));
    if (!file || ::ftruncate(file.get(), 100) != 0) return;
    void* mapped = ::mmap(nullptr, 100, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) return;
    if (OneIn(3)) {
      std::memset(mapped, 'm', 100);
      file.Reset();
    } else {
      file.Reset();
      std::memset(mapped, static_cast<int>('a' + random_() % 26), 100);
    }
    ::munmap(mapped, 100);
  }
  void Nameless() {
    const std::string path = Any();
    const std::string directory = std::filesystem::path(path).parent_path();
    const UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0644));
    if (!file) return;
    (void)!::write(file.get(), "nameless\n", 9);
    ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(file.get())).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW);
  }
  // A file takes the place of a directory, or the reverse.
  void Replace() {
    const std::string path = Any();
    struct stat st {};
    if (::lstat(path.c_str(), &st) != 0) return;
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
    if (S_ISDIR(st.st_mode)) {
      Put(path, O_WRONLY | O_TRUNC, Content());
    } else if (::mkdir(path.c_str(), 0755) == 0) {
      Put(path + "/x", O_WRONLY | O_TRUNC, Content());
    }
  }

  const std::string root_;
  std::mt19937 random_;
  const std::vector<testing::PlantedSecret> secrets_;
};

}  // namespace

void ChangeAtRandom(const std::string& root, unsigned seed, int count) {
  Changer changer(root, seed);
  for (int i = 0; i < count && changer.ChangeOnce(); ++i) {
  }
}

Changes::Changes(const std::string& root, unsigned seed, int count) : child_(::fork()) {
  if (child_ != 0) return;
  ::setpgid(0, 0);
  ChangeAtRandom(root, seed, count);
  ::_exit(0);
}

Changes::~Changes() {
  if (child_ <= 0) return;
  ::kill(child_, SIGKILL);
  Join();
}

void Changes::Join() {
  if (child_ > 0) ::waitpid(child_, nullptr, 0);
  child_ = -1;
}

}  // namespace tierfs::test
