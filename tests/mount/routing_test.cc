// Every write goes to the tier of its path. The backing trees hold the files that the policy puts
// there, and nothing else.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <tuple>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

class Routing : public MountTest {
 protected:
  void SetUp() override { ASSERT_TRUE(Mount()) << Refusal(); }
};

TEST_F(Routing, FilesGoToTheTierOfTheirPath) {
  MakeDirs(Mnt("etc/ssl/private"));
  MakeDirs(Mnt("usr/bin"));
  MakeDirs(Mnt("var/cache/app"));
  MakeDirs(Mnt("home/me"));
  WriteFile(Mnt("etc/hosts"), "h");
  WriteFile(Mnt("etc/ssl/private/key.pem"), "k");
  WriteFile(Mnt("usr/bin/tool"), "t");
  WriteFile(Mnt("var/cache/app/x"), "c");
  WriteFile(Mnt("home/me/letter"), "l");
  WriteFile(Mnt("home/me/letter.tmp"), "w");
  EXPECT_EQ(TreesWith("etc/hosts"), std::set<int>{1});
  EXPECT_EQ(TreesWith("etc/ssl/private/key.pem"), std::set<int>{2});
  EXPECT_EQ(TreesWith("usr/bin/tool"), std::set<int>{4});
  EXPECT_EQ(TreesWith("var/cache/app/x"), std::set<int>{3});
  EXPECT_EQ(TreesWith("home/me/letter"), std::set<int>{2});
  EXPECT_EQ(TreesWith("home/me/letter.tmp"), std::set<int>{3});
  EXPECT_EQ(ReadFile(Tier(2, "home/me/letter")), "l");
  EXPECT_EQ(TierOf("usr/bin/tool"), 4);
  EXPECT_EQ(Names(Mnt("home/me")), (std::set<std::string>{"letter", "letter.tmp"}));
}

TEST_F(Routing, EveryKindOfEntryIsRouted) {
  MakeDirs(Mnt("usr/lib"));
  ASSERT_EQ(::symlink("target", Mnt("usr/lib/link").c_str()), 0);
  ASSERT_EQ(::mkfifo(Mnt("usr/lib/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(Mnt("usr/lib/null").c_str(), S_IFCHR | 0600, 0x103), 0);
  EXPECT_EQ(TreesWith("usr/lib/link"), std::set<int>{4});
  EXPECT_EQ(TreesWith("usr/lib/fifo"), std::set<int>{4});
  EXPECT_EQ(TreesWith("usr/lib/null"), std::set<int>{4});
  EXPECT_EQ(Stat(Mnt("usr/lib/null")).st_rdev, 0x103U);
}

TEST_F(Routing, AnEmptyDirectoryIsInTheTierOfItsClassOnly) {
  MakeDirs(Mnt("usr/share/empty"));
  MakeDirs(Mnt("srv"));
  EXPECT_EQ(TreesWith("usr/share/empty"), std::set<int>{4});
  EXPECT_EQ(TreesWith("srv"), std::set<int>{2});
}

TEST_F(Routing, AWhiteoutCannotBeMadeByHand) { EXPECT_EQ(Errno(::mknod(Mnt("w").c_str(), S_IFCHR | 0600, 0)), EPERM); }

TEST_F(Routing, TmpfilesAreLinkedIntoTheTierOfTheirName) {
  MakeDirs(Mnt("etc"));
  const int fd = ::open(Mnt("etc").c_str(), O_TMPFILE | O_RDWR, 0640);
  ASSERT_GE(fd, 0) << std::strerror(errno);
  ASSERT_EQ(::write(fd, "tmpfile", 7), 7);
  ASSERT_EQ(::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd)).c_str(), AT_FDCWD, Mnt("etc/made").c_str(), AT_SYMLINK_FOLLOW), 0)
      << std::strerror(errno);
  ::close(fd);
  EXPECT_EQ(TreesWith("etc/made"), std::set<int>{1});
  EXPECT_EQ(ReadFile(Mnt("etc/made")), "tmpfile");
  EXPECT_EQ(Stat(Mnt("etc/made")).st_mode & 07777, 0640U & ~0022U);
}

TEST_F(Routing, NamesAreBytes) {
  const std::string strange = "\xff\xfe\n\t'\"\\ \x01";
  const std::string longest(255, '\xe4');
  WriteFile(Mnt(strange), "s");
  WriteFile(Mnt(longest), "l");
  EXPECT_EQ(Names(Mnt()), (std::set<std::string>{strange, longest}));
  EXPECT_EQ(ReadFile(Tier(2, longest)), "l");
  EXPECT_EQ(Errno(::mkdir(Mnt(std::string(256, 'x')).c_str(), 0755)), ENAMETOOLONG);
  Remount();
  EXPECT_EQ(ReadFile(Mnt(strange)), "s");
}

class Space : public OverlayTest {};

TEST_F(Space, IsThatOfTheTierOfThePath) {
  const std::string small = MakeFileSystem(FileSystem::kTmpfs, 16);
  UseTier(3, small + "/tier3");
  MakeDirs(small + "/tier3");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("var/cache"));
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("var/cache/x"), std::string(100'000, 'x'));
  WriteFile(Mnt("y"), "y");
  const auto space = [](const std::string& path) {
    struct statvfs st {};
    EXPECT_EQ(::statvfs(path.c_str(), &st), 0) << path;
    return std::make_tuple(st.f_blocks, st.f_frsize, st.f_files, st.f_namemax);
  };
  const auto disk = space(Tier(4));
  const auto memory = space(small);
  ASSERT_NE(disk, memory);
  EXPECT_EQ(space(Mnt("var/cache")), memory);
  EXPECT_EQ(space(Mnt("var/cache/x")), memory);
  EXPECT_EQ(space(Mnt("var")), disk);
  EXPECT_EQ(space(Mnt("usr")), disk);
  EXPECT_EQ(space(Mnt("y")), disk);
  EXPECT_EQ(space(Mnt()), disk);
  // A full tier returns ENOSPC; the other tiers still work.
  const UniqueFd full(::open(Mnt("var/cache/full").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  const std::string block(1 << 20, 'f');
  ssize_t written = 0;
  for (int i = 0; i < 32 && written >= 0; ++i) written = ::write(full.get(), block.data(), block.size());
  EXPECT_EQ(errno, ENOSPC);
  WriteFile(Mnt("z"), "z");
  EXPECT_EQ(ReadFile(Mnt("z")), "z");
}

TEST_F(Routing, XattrsShowTierClassAndRule) {
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/a"), "a");
  EXPECT_EQ(Xattr(Mnt("usr/a"), "user.tierfs.tier"), "4");
  EXPECT_EQ(Xattr(Mnt("usr/a"), "user.tierfs.class"), "4");
  EXPECT_EQ(Xattr(Mnt("usr/a"), "user.tierfs.path"), Tier(4, "usr/a"));
  EXPECT_NE(Xattr(Mnt("usr/a"), "user.tierfs.rule").find("test.tiers:1: 4 /usr/"), std::string::npos);
  EXPECT_EQ(Shell("getfattr -d -m - " + Mnt("usr/a")).out, "") << "these xattrs are never listed";
  EXPECT_NE(Errno(::setxattr(Mnt("usr/a").c_str(), "user.tierfs.tier", "1", 1, 0)), 0);
}

}  // namespace
}  // namespace tierfs::test
