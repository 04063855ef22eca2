// Whiteouts and opaque directories: the marks that the mount makes, and the marks of an image.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using Paths = std::set<std::string>;

class Whiteout : public OverlayTest {
 protected:
  void SetUp() override { SetPolicy("1 /etc/\n3 *.tmp\n4 /usr/\n"); }
  static void MakeMark(const std::string& path) {
    ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, makedev(0, 0)), 0) << path << ": " << std::strerror(errno);
  }
  static void MakeOpaque(const std::string& path, const char* xattr = "trusted.overlay.opaque") {
    ASSERT_EQ(::setxattr(path.c_str(), xattr, "y", 1, 0), 0) << path << ": " << std::strerror(errno);
  }
  // Expects that the mount shows no character device 0:0, neither in a listing nor by name.
  void ExpectNoneShown() const {
    for (const auto& [path, record] : TakeSnapshot(Mnt())) EXPECT_FALSE(S_ISCHR(record.st.st_mode)) << path;
    for (const std::string& whiteout : Whiteouts()) {
      const std::string path = whiteout.substr(2);
      struct stat st {};
      EXPECT_FALSE(::lstat(Mnt(path).c_str(), &st) == 0 && S_ISCHR(st.st_mode)) << path;
    }
  }
};

TEST_F(Whiteout, IsMadeInTheTierOfARemovedLowerPath) {
  const std::string lower = AddLower("lower");
  for (const char* directory : {"usr/share", "etc", "home"}) MakeDirs(lower + "/" + directory);
  for (const char* file : {"usr/share/x", "etc/x", "home/x", "home/x.tmp", "home/stays"}) WriteFile(lower + "/" + file, "lower");
  ASSERT_EQ(::symlink("x", (lower + "/home/link").c_str()), 0);
  MakeDirs(lower + "/usr/empty");
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* file : {"usr/share/x", "etc/x", "home/x", "home/x.tmp", "home/link"}) {
    ASSERT_EQ(::unlink(Mnt(file).c_str()), 0) << std::strerror(errno);
    EXPECT_FALSE(Exists(Mnt(file)));
    EXPECT_EQ(Errno(::unlink(Mnt(file).c_str())), ENOENT);
  }
  ASSERT_EQ(::rmdir(Mnt("usr/empty").c_str()), 0);
  ASSERT_EQ(::rmdir(Mnt("usr/share").c_str()), 0) << "a directory with whiteouts only is empty";
  EXPECT_EQ(Whiteouts(), (Paths{"1/etc/x", "2/home/x", "3/home/x.tmp", "2/home/link", "4/usr/empty", "4/usr/share"}));
  EXPECT_EQ(Names(Mnt("home")), Paths{"stays"});
  ExpectNoneShown();
  Remount();
  EXPECT_EQ(Names(Mnt("home")), Paths{"stays"});
  EXPECT_EQ(Names(Mnt("usr")), Paths{});
  ExpectNoneShown();
}

TEST_F(Whiteout, IsNotMadeWhereNothingIsHidden) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/d");
  WriteFile(lower + "/d/l", "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("d/x"), "tier");
  ASSERT_EQ(::rename(Mnt("d/x").c_str(), Mnt("d/y").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("d/y").c_str()), 0);
  ASSERT_EQ(::mkdir(Mnt("d/sub").c_str(), 0755), 0);
  ASSERT_EQ(::rename(Mnt("d/sub").c_str(), Mnt("sub").c_str()), 0);
  ASSERT_EQ(::rmdir(Mnt("sub").c_str()), 0);
  EXPECT_EQ(Whiteouts(), Paths{});
}

TEST_F(Whiteout, IsRemovedWhenTheNameIsUsedAgain) {
  const std::string lower = AddLower("lower");
  for (const char* file : {"file", "made", "link", "hard", "renamed", "x.tmp"}) WriteFile(lower + "/" + file, "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* file : {"file", "made", "link", "hard", "renamed", "x.tmp"}) ASSERT_EQ(::unlink(Mnt(file).c_str()), 0);
  EXPECT_EQ(Whiteouts().size(), 6U);
  WriteFile(Mnt("file"), "tier");
  WriteFile(Mnt("other"), "tier");
  ASSERT_EQ(::mknod(Mnt("made").c_str(), S_IFIFO | 0600, 0), 0);
  ASSERT_EQ(::symlink("x", Mnt("link").c_str()), 0);
  ASSERT_EQ(::link(Mnt("other").c_str(), Mnt("hard").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::rename(Mnt("other").c_str(), Mnt("renamed").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("file").c_str(), Mnt("x.tmp").c_str()), 0);
  EXPECT_EQ(Whiteouts(), Paths{"2/file"}) << "file was removed once more";
  EXPECT_EQ(Names(Mnt()), (Paths{"made", "link", "hard", "renamed", "x.tmp"}));
  ExpectNoneShown();
}

TEST_F(Whiteout, InAnotherTierIsRemovedTooAfterAPolicyChange) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/file", "lower");
  MakeDirs(lower + "/d");
  WriteFile(lower + "/d/in", "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::unlink(Mnt("file").c_str()), 0);
  ASSERT_EQ(Shell("rm -r " + Mnt("d")).code, 0);
  EXPECT_EQ(Whiteouts(), (Paths{"2/file", "2/d"}));
  SetPolicy("4 *\n");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
  EXPECT_EQ(Names(Mnt()), Paths{});
  WriteFile(Mnt("file"), "tier");
  ASSERT_EQ(::mkdir(Mnt("d").c_str(), 0755), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("d")), Paths{});
  EXPECT_EQ(Whiteouts(), Paths{"4/d/in"});
  EXPECT_EQ(TreesWith("file"), std::set<int>{4});
}

TEST_F(Whiteout, ARecreatedDirectoryHidesLowerEntriesOneByOne) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/usr/lib/sub");
  for (const char* file : {"usr/lib/a", "usr/lib/b", "usr/lib/sub/c"}) WriteFile(lower + "/" + file, "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Shell("rm -r " + Mnt("usr/lib")).code, 0);
  EXPECT_EQ(Whiteouts(), Paths{"4/usr/lib"});
  ASSERT_EQ(::mkdir(Mnt("usr/lib").c_str(), 0700), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("usr/lib")), Paths{});
  EXPECT_EQ(Stat(Mnt("usr/lib")).st_mode & 07777, 0700U);
  EXPECT_EQ(Whiteouts(), (Paths{"4/usr/lib/a", "4/usr/lib/b", "4/usr/lib/sub"}));
  WriteFile(Mnt("usr/lib/a"), "new");
  ASSERT_EQ(::mkdir(Mnt("usr/lib/sub").c_str(), 0755), 0);
  EXPECT_EQ(Names(Mnt("usr/lib/sub")), Paths{});
  EXPECT_EQ(Whiteouts(), (Paths{"4/usr/lib/b", "4/usr/lib/sub/c"}));
  ExpectNoneShown();
  const Snapshot shown = TakeSnapshot(Mnt());
  Remount();
  EXPECT_EQ(Differences(shown, TakeSnapshot(Mnt())), "");
  // Repeat the removal: the one whiteout for the directory suffices again.
  ASSERT_EQ(Shell("rm -r " + Mnt("usr/lib")).code, 0);
  EXPECT_EQ(Whiteouts(), Paths{"4/usr/lib"});
  ASSERT_EQ(::rename(Mnt("usr").c_str(), Mnt("away").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("away")), Paths{});
  Settled();
  EXPECT_EQ(Whiteouts(), Paths{"4/usr"}) << "at its new path the directory hides nothing";
}

TEST_F(Whiteout, ADirectoryInAllTiersIsRemovedOverALowerOne) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/d");
  WriteFile(lower + "/d/l", "lower");
  SetPolicy("1 *.1\n3 *.3\n4 *.4\n");
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* file : {"d/x.1", "d/x", "d/x.3", "d/x.4"}) WriteFile(Mnt(file), file);
  EXPECT_EQ(TreesWith("d"), (std::set<int>{1, 2, 3, 4}));
  ASSERT_EQ(Shell("rm -r " + Mnt("d")).code, 0);
  EXPECT_FALSE(Exists(Mnt("d")));
  EXPECT_EQ(TreesWith("d"), std::set<int>{});
  EXPECT_EQ(Whiteouts(), Paths{"2/d"});
}

TEST_F(Whiteout, IsMadeWhereARenameTookALowerEntryAway) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/etc");
  WriteFile(lower + "/etc/a", "a");
  WriteFile(lower + "/etc/b", "b");
  MakeDirs(lower + "/usr/d");
  WriteFile(lower + "/usr/d/in", "in");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::rename(Mnt("etc/a").c_str(), Mnt("moved").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Whiteouts(), Paths{"1/etc/a"});
  EXPECT_EQ(TreesWith("moved"), std::set<int>{2});
  ASSERT_EQ(::rename(Mnt("etc/b").c_str(), Mnt("etc/a").c_str()), 0);
  EXPECT_EQ(Whiteouts(), Paths{"1/etc/b"});
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "b");
  ASSERT_EQ(::rename(Mnt("usr/d").c_str(), Mnt("etc/d").c_str()), 0) << std::strerror(errno);
  Settled();
  EXPECT_EQ(Whiteouts(), (Paths{"1/etc/b", "4/usr/d"}));
  EXPECT_EQ(TreesWith("etc/d/in"), std::set<int>{1});
  // Rename it back: nothing is hidden any more.
  ASSERT_EQ(::rename(Mnt("etc/d").c_str(), Mnt("usr/d").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::rename(Mnt("etc/a").c_str(), Mnt("etc/b").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("moved").c_str(), Mnt("etc/a").c_str()), 0);
  Settled();
  EXPECT_EQ(Whiteouts(), Paths{});
  EXPECT_EQ(ReadFile(Mnt("usr/d/in")), "in");
  ExpectNoneShown();
}

TEST_F(Whiteout, CannotBeRequestedByARename) {
  WriteFile(AddLower("lower") + "/x", "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(Errno(::renameat2(AT_FDCWD, Mnt("a").c_str(), AT_FDCWD, Mnt("b").c_str(), RENAME_WHITEOUT)), EINVAL);
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  EXPECT_EQ(Whiteouts(), Paths{});
}

TEST_F(Whiteout, MarksOfAnImageAreHonoured) {
  const std::string upper = AddLower("upper");
  const std::string lowest = AddLower("lowest");
  for (const char* directory : {"d/sub", "gone", "emptied", "mine"}) MakeDirs(lowest + "/" + directory);
  for (const char* file : {"file", "d/a", "d/b", "d/sub/c", "gone/x", "emptied/x", "mine/x"}) WriteFile(lowest + "/" + file, "lowest");
  for (const char* directory : {"d", "emptied", "mine"}) MakeDirs(upper + "/" + directory);
  MakeMark(upper + "/file");
  MakeMark(upper + "/gone");
  MakeMark(upper + "/d/a");
  MakeMark(upper + "/d/sub");
  MakeMark(upper + "/hides-nothing");
  MakeMark(lowest + "/nor-this");
  MakeOpaque(upper + "/emptied");
  MakeOpaque(upper + "/mine");
  WriteFile(upper + "/mine/y", "upper");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt()), (Paths{"d", "emptied", "mine"}));
  EXPECT_EQ(Names(Mnt("d")), Paths{"b"});
  EXPECT_EQ(Names(Mnt("emptied")), Paths{});
  EXPECT_EQ(Names(Mnt("mine")), Paths{"y"});
  for (const char* path : {"file", "gone", "gone/x", "d/a", "d/sub/c", "emptied/x", "mine/x", "hides-nothing", "nor-this"}) {
    EXPECT_FALSE(Exists(Mnt(path))) << path;
  }
  EXPECT_EQ(Xattr(Mnt("mine"), "trusted.overlay.opaque"), "") << "the mount does not show the mark";
  ExpectNoneShown();
  // New entries under the image's marks need no marks of tierfs; the hidden entries stay hidden.
  ASSERT_EQ(::mkdir(Mnt("gone").c_str(), 0755), 0);
  WriteFile(Mnt("file"), "tier");
  WriteFile(Mnt("emptied/x"), "tier");
  ASSERT_EQ(::mkdir(Mnt("d/sub").c_str(), 0755), 0);
  EXPECT_EQ(Names(Mnt("gone")), Paths{});
  EXPECT_EQ(Names(Mnt("d/sub")), Paths{});
  EXPECT_EQ(Whiteouts(), Paths{});
  for (const char* path : {"file", "emptied/x"}) ASSERT_EQ(::unlink(Mnt(path).c_str()), 0);
  for (const char* path : {"gone", "d/sub"}) ASSERT_EQ(::rmdir(Mnt(path).c_str()), 0);
  EXPECT_EQ(Whiteouts(), Paths{}) << "the image's marks hide these already";
  // An opaque directory is removed and made again.
  ASSERT_EQ(Shell("rm -r " + Mnt("mine")).code, 0);
  EXPECT_EQ(Whiteouts(), Paths{"2/mine"});
  ASSERT_EQ(::mkdir(Mnt("mine").c_str(), 0755), 0);
  EXPECT_EQ(Names(Mnt("mine")), Paths{});
  EXPECT_EQ(Whiteouts(), Paths{"2/mine/y"});
  ASSERT_EQ(::rename(Mnt("emptied").c_str(), Mnt("usr").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("usr")), Paths{});
  const Ran check = Execute({TIERCTL_BINARY, "check", ConfigFile()});
  EXPECT_EQ(check.out, "test: nothing found\n");
}

TEST_F(Whiteout, MarksOfUnprivilegedToolsAreHonoured) {
  const std::string upper = AddLower("upper");
  const std::string lowest = AddLower("lowest");
  MakeDirs(lowest + "/d");
  WriteFile(lowest + "/d/x", "lowest");
  MakeDirs(upper + "/d");
  WriteFile(upper + "/d/y", "upper");
  MakeOpaque(upper + "/d", "user.overlay.opaque");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt("d")), Paths{"y"});
  EXPECT_EQ(Xattr(Mnt("d"), "user.overlay.opaque"), "");
  WriteFile(Mnt("d/x"), "tier");
  EXPECT_EQ(Names(Mnt("d")), (Paths{"x", "y"}));
  SkipKernelComparison();  // overlayfs reads these marks only with the option userxattr
}

TEST_F(Whiteout, FilesOfAnotherConventionAreOrdinaryFiles) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/.wh.file", "");
  WriteFile(lower + "/file", "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt()), (Paths{"file", ".wh.file"})) << "an image layer has to be unpacked by a tool first";
}

TEST_F(Whiteout, CannotBeMadeNorMarkedThroughTheMount) {
  AddLower("lower");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  EXPECT_EQ(Errno(::mknod(Mnt("w").c_str(), S_IFCHR | 0600, makedev(0, 0))), EPERM);
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque", "trusted.overlay.metacopy"}) {
    EXPECT_EQ(Errno(::setxattr(Mnt("d").c_str(), name, "y", 1, 0)), EPERM) << name;
  }
}

// The next version of the image lacks the directory. A whiteout for one of its entries must not
// block a new entry of that name.
TEST_F(Whiteout, DoesNotBlockANewEntryOnceItHidesNothing) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/d");
  for (const char* name : {"file", "dir", "link", "node"}) WriteFile(lower + "/d/" + name, "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("d/kept"), "kept");
  for (const char* name : {"file", "dir", "link", "node"}) ASSERT_EQ(::unlink(Mnt(std::string("d/") + name).c_str()), 0);
  Unmount();
  ASSERT_EQ(Shell("rm -r " + lower + "/d").code, 0);
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("d/file"), "new");
  EXPECT_EQ(ReadFile(Mnt("d/file")), "new");
  EXPECT_EQ(Errno(::mkdir(Mnt("d/dir").c_str(), 0755)), 0);
  EXPECT_EQ(Errno(::symlink("x", Mnt("d/link").c_str())), 0);
  EXPECT_EQ(Errno(::mknod(Mnt("d/node").c_str(), S_IFIFO | 0600, 0)), 0);
  EXPECT_EQ(Errno(::mkdir(Mnt("d/dir").c_str(), 0755)), EEXIST);
  EXPECT_EQ(Names(Mnt("d")), (Paths{"kept", "file", "dir", "link", "node"}));
  EXPECT_EQ(Whiteouts(), Paths{});
}

}  // namespace
}  // namespace tierfs::test
