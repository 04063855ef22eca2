// The interface to the operating system: descriptors, opens beneath a root, copies with holes,
// attributes.
#include <fcntl.h>
#include <sys/xattr.h>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/caller.h"
#include "fs/os/copy.h"
#include "fs/os/list_dir.h"
#include "tests/unit/support.h"

namespace tierfs {
namespace {

using test::TempDir;

bool IsOpen(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesExactlyOnce) {
  UniqueFd a(::open("/", O_PATH | O_CLOEXEC));
  const int number = a.get();
  UniqueFd b(std::move(a));
  EXPECT_FALSE(a);  // NOLINT: what a moved-from descriptor is, is the question
  EXPECT_TRUE(IsOpen(number));
  b = UniqueFd();
  EXPECT_FALSE(IsOpen(number));
}

TEST(Beneath, NoSymlinkAndNoDotDotLeadsOut) {
  const TempDir dir;
  test::MakeDirs(dir / "root/sub");
  test::WriteFile(dir / "root/sub/file", "in");
  test::WriteFile(dir / "secret", "out");
  ASSERT_EQ(::symlink(dir.path().c_str(), (dir / "root/up").c_str()), 0);
  ASSERT_EQ(::symlink("sub", (dir / "root/inside").c_str()), 0);
  const UniqueFd root(::open((dir / "root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(OpenBeneath(root.get(), "sub/file", O_RDONLY));
  EXPECT_TRUE(OpenBeneath(root.get(), "", O_PATH));
  for (const char* path : {"up/secret", "inside/file", "../secret", "sub/../../secret", "/etc/passwd"}) {
    EXPECT_FALSE(OpenBeneath(root.get(), path, O_RDONLY)) << path;
  }
  EXPECT_EQ(OpenBeneath(root.get(), "up", O_RDONLY).error().code, ELOOP);
  EXPECT_EQ(OpenEntry(root.get(), "inside", O_RDONLY).error().code, ELOOP);
  EXPECT_EQ(OpenBeneath(root.get(), "none", O_RDONLY).error().code, ENOENT);
}

std::string Content(int fd) {
  std::string all(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  return all;
}

TEST(CopyFileData, KeepsHolesAndStopsAtTheLimit) {
  const TempDir dir;
  const UniqueFd from(::open((dir / "from").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::pwrite(from.get(), "start", 5, 0), 5);
  ASSERT_EQ(::pwrite(from.get(), "end", 3, (8 << 20) + 7), 3);
  ASSERT_EQ(::ftruncate(from.get(), 12 << 20), 0);
  for (const off_t limit : {kAllData, off_t{0}, off_t{3}, off_t{8 << 20}, off_t{(8 << 20) + 8}, off_t{11 << 20}}) {
    const UniqueFd to(::open(dir.path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    ASSERT_TRUE(CopyFileData(from.get(), to.get(), limit)) << limit;
    const std::string copied = Content(to.get());
    EXPECT_EQ(copied.size(), static_cast<std::size_t>(std::min<off_t>(limit, 12 << 20)));
    EXPECT_EQ(copied, Content(from.get()).substr(0, copied.size())) << limit;
    struct stat st {};
    ASSERT_EQ(::fstat(to.get(), &st), 0);
    EXPECT_LT(st.st_blocks * 512, 1 << 20) << "holes stay holes";
  }
}

TEST(CopyFileData, OfAFileThatSaysItIsEmpty) {
  const TempDir dir;
  const UniqueFd from(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  const UniqueFd to(::open(dir.path().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  EXPECT_TRUE(CopyFileData(from.get(), to.get()));
}

TEST(Attributes, AreClonedExceptThePrivateOnes) {
  const TempDir dir;
  test::MakeDirs(dir / "from");
  test::MakeDirs(dir / "to");
  ASSERT_EQ(::chown((dir / "from").c_str(), 123, 456), 0);
  ASSERT_EQ(::setxattr((dir / "from").c_str(), "user.note", "n", 1, 0), 0);
  ASSERT_EQ(::setxattr((dir / "from").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::setxattr((dir / "from").c_str(), "trusted.tierfs.mark", "m", 1, 0), 0);
  ASSERT_EQ(test::Shell("setfacl -m u:7:rwx,d:g:8:rx " + (dir / "from")).code, 0);
  ASSERT_EQ(::chmod((dir / "from").c_str(), 03751), 0);
  const timespec times[2] = {{11, 1}, {22, 2}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (dir / "from").c_str(), times, 0), 0);
  const UniqueFd from(::open((dir / "from").c_str(), O_PATH | O_CLOEXEC));
  const UniqueFd to(::open((dir / "to").c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(CloneAttributes(from.get(), test::Stat(dir / "from"), to.get()));
  const struct stat st = test::Stat(dir / "to");
  EXPECT_EQ(st.st_uid, 123U);
  EXPECT_EQ(st.st_gid, 456U);
  EXPECT_EQ(st.st_mode & 07777, 03751U);
  EXPECT_EQ(st.st_atim.tv_sec, 11);
  EXPECT_EQ(st.st_mtim.tv_nsec, 2);
  EXPECT_EQ(test::Xattr(dir / "to", "user.note"), "n");
  EXPECT_EQ(test::Xattr(dir / "to", "system.posix_acl_access"), test::Xattr(dir / "from", "system.posix_acl_access"));
  EXPECT_EQ(test::Xattr(dir / "to", "system.posix_acl_default"), test::Xattr(dir / "from", "system.posix_acl_default"));
  EXPECT_EQ(test::Xattr(dir / "to", "trusted.overlay.opaque"), "");
  EXPECT_EQ(test::Xattr(dir / "to", "trusted.tierfs.mark"), "");
}

TEST(Attributes, ASymlinkIsNeverFollowed) {
  const TempDir dir;
  test::WriteFile(dir / "target", "");
  ASSERT_EQ(::chmod((dir / "target").c_str(), 0600), 0);
  ASSERT_EQ(::symlink("target", (dir / "link").c_str()), 0);
  const UniqueFd root(::open(dir.path().c_str(), O_PATH | O_CLOEXEC));
  EXPECT_FALSE(ChmodEntry(root.get(), "link", 0777));
  EXPECT_EQ(test::Stat(dir / "target").st_mode & 07777, 0600U);
}

TEST(ForEachEntry, VisitsEveryNameOnceAndStopsAtTheFirstFailure) {
  const TempDir dir;
  for (int i = 0; i < 1000; ++i) test::WriteFile(dir / std::to_string(i), "");
  const UniqueFd fd(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::set<std::string> names;
  ASSERT_TRUE(ForEachEntry(fd.get(), [&](const dirent64& entry) -> Status {
    EXPECT_TRUE(names.insert(entry.d_name).second);
    return {};
  }));
  EXPECT_EQ(names, test::Names(dir.path()));
  ASSERT_EQ(::lseek(fd.get(), 0, SEEK_SET), 0);
  int seen = 0;
  const Status stopped =
      ForEachEntry(fd.get(), [&](const dirent64&) -> Status { return ++seen == 3 ? Status(Fail(EIO, "enough")) : Status{}; });
  EXPECT_EQ(stopped.error().code, EIO);
  EXPECT_EQ(seen, 3);
}

TEST(ForEachEntry, ARemovedDirectoryHasNone) {
  const TempDir dir;
  ASSERT_EQ(::mkdir((dir / "gone").c_str(), 0755), 0);
  const UniqueFd fd(::open((dir / "gone").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::rmdir((dir / "gone").c_str()), 0);
  EXPECT_TRUE(ForEachEntry(fd.get(), [](const dirent64&) { return Status(Fail(EIO, "an entry")); }));
}

TEST(Caller, SupplementaryGroupsAreReadFromTheProcess) {
  EXPECT_TRUE(test::As(1000, 1000, {50, 77}, [] {
    return HasSupplementaryGroup(::getpid(), 77) && HasSupplementaryGroup(::getpid(), 50) && !HasSupplementaryGroup(::getpid(), 7);
  }));
  EXPECT_FALSE(HasSupplementaryGroup(-1, 0));
}

}  // namespace
}  // namespace tierfs
