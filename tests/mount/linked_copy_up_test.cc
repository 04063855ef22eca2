// Hard links of lower files stay hard links when one of their names changes, as on a plain
// directory.
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>

#include <filesystem>
#include <functional>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

int Append(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND));
  return fd && ::write(fd.get(), " and more", 9) == 9 ? 0 : -1;
}

class LinkedCopyUp : public OverlayTest {
 protected:
  void SetUp() override { SetPolicy("1 /etc/\n3 /var/\n4 /usr/\n"); }
  // A lower file with five names, and a plain directory with the same.
  void Prepare() {
    for (const std::string& root : {AddLower("lower"), Base("reference")}) {
      MakeDirs(root + "/etc");
      MakeDirs(root + "/usr/bin");
      MakeDirs(root + "/var/lib/deep");
      WriteFile(root + "/etc/one", "lower");
      ASSERT_EQ(::chmod((root + "/etc/one").c_str(), 0640), 0);
      for (const char* other : {"etc/two", "usr/bin/three", "var/lib/deep/four", "five"}) {
        ASSERT_EQ(::link((root + "/etc/one").c_str(), (root + "/" + other).c_str()), 0);
      }
      WriteFile(root + "/other", "another file");
    }
    ASSERT_TRUE(Mount()) << Refusal();
  }
  // The names of each file with its link count, mode and content.
  static std::string Links(const std::string& root) {
    return Shell("cd " + root +
                 " && find . ! -type d -printf '%i %n %m %s %P\\n' | sort -k5 | awk '{ if (!($1 in seen)) seen[$1] = ++count; "
                 "$1 = seen[$1]; print }' && find . -type f | sort | xargs cat")
        .out;
  }
  // Runs the operation on the mount and on the plain directory, which then look alike.
  void Both(const std::string& what, const std::function<int(const std::string& root)>& operation) {
    SCOPED_TRACE(what);
    const int plain = operation(Base("reference"));
    const int plain_errno = errno;
    ASSERT_EQ(operation(Mnt()), plain) << std::strerror(errno);
    if (plain != 0) {
      EXPECT_EQ(errno, plain_errno);
    }
    EXPECT_EQ(Links(Mnt()), Links(Base("reference")));
    ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
    EXPECT_EQ(Links(Mnt()), Links(Base("reference"))) << "after a rescan";
  }
};

struct Change {
  const char* name;
  std::function<int(const std::string& root)> run;
};

const Change kChanges[] = {
    {"append", [](const std::string& root) { return Append(root + "/var/lib/deep/four"); }},
    {"truncating_open", [](const std::string& root) { return UniqueFd(::open((root + "/five").c_str(), O_WRONLY | O_TRUNC)) ? 0 : -1; }},
    {"truncate", [](const std::string& root) { return ::truncate((root + "/etc/two").c_str(), 2); }},
    {"chmod", [](const std::string& root) { return ::chmod((root + "/usr/bin/three").c_str(), 0600); }},
    {"chown", [](const std::string& root) { return ::chown((root + "/etc/one").c_str(), 5, 6); }},
    {"setxattr", [](const std::string& root) { return ::setxattr((root + "/etc/one").c_str(), "user.note", "n", 1, 0); }},
    {"unlink", [](const std::string& root) { return ::unlink((root + "/etc/two").c_str()); }},
    {"link", [](const std::string& root) { return ::link((root + "/five").c_str(), (root + "/usr/six").c_str()); }},
    {"rename", [](const std::string& root) { return ::rename((root + "/etc/two").c_str(), (root + "/var/moved").c_str()); }},
    {"rename_over", [](const std::string& root) { return ::rename((root + "/other").c_str(), (root + "/etc/two").c_str()); }},
    {"rename_to_itself", [](const std::string& root) { return ::rename((root + "/etc/two").c_str(), (root + "/five").c_str()); }},
    {"exchange",
     [](const std::string& root) {
       return ::renameat2(AT_FDCWD, (root + "/etc/two").c_str(), AT_FDCWD, (root + "/other").c_str(), RENAME_EXCHANGE);
     }},
    {"rename_of_a_directory", [](const std::string& root) { return ::rename((root + "/var/lib").c_str(), (root + "/etc/lib").c_str()); }},
    {"removal_of_a_tree", [](const std::string& root) { return std::filesystem::remove_all(root + "/etc") > 0 ? 0 : -1; }},
};

class LinkedChange : public LinkedCopyUp, public ::testing::WithParamInterface<Change> {};

TEST_P(LinkedChange, ReachesAllNames) {
  Prepare();
  Both("the change", GetParam().run);
  Both("an append", [](const std::string& root) { return Append(root + "/five"); });
  Remount();
  EXPECT_EQ(Links(Mnt()), Links(Base("reference"))) << "after a remount";
}

INSTANTIATE_TEST_SUITE_P(Each, LinkedChange, ::testing::ValuesIn(kChanges), [](const auto& change) { return change.param.name; });

// Programs that have the names open see one file.
TEST_F(LinkedCopyUp, OpenNamesStayOneFile) {
  Prepare();
  const UniqueFd reader(::open(Mnt("usr/bin/three").c_str(), O_RDONLY));
  const struct stat before = Stat(Mnt("etc/one"));
  ASSERT_EQ(Append(Mnt("etc/one")), 0);
  char text[32] = {};
  ASSERT_EQ(::pread(reader.get(), text, sizeof text, 0), 14);
  EXPECT_STREQ(text, "lower and more");
  for (const char* name : {"etc/one", "etc/two", "usr/bin/three", "var/lib/deep/four", "five"}) {
    EXPECT_EQ(Stat(Mnt(name)).st_ino, before.st_ino) << name;
    EXPECT_EQ(Stat(Mnt(name)).st_nlink, 5U) << name;
  }
}

TEST_F(LinkedCopyUp, OnOneDiskEachNameIsInItsTierAndADirectoryKeepsItsTime) {
  Prepare();
  const Snapshot before = TakeSnapshot(Mnt());
  ASSERT_EQ(::chmod(Mnt("five").c_str(), 0600), 0);
  ASSERT_EQ(::chmod(Mnt("five").c_str(), 0640), 0);
  EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "");
  EXPECT_EQ(TreesWith("etc/one"), std::set<int>{1});
  EXPECT_EQ(TreesWith("etc/two"), std::set<int>{1});
  EXPECT_EQ(TreesWith("usr/bin/three"), std::set<int>{4});
  EXPECT_EQ(TreesWith("var/lib/deep/four"), std::set<int>{3});
  EXPECT_EQ(TreesWith("five"), std::set<int>{2});
  EXPECT_EQ(Stat(Tier(4, "usr/bin/three")).st_ino, Stat(Tier(1, "etc/one")).st_ino);
  EXPECT_EQ(TreesWith("other"), std::set<int>{});
  ExpectNoWorkFiles();
}

TEST_F(LinkedCopyUp, OnSeveralDisksAllNamesAreInTheBestProtectedTier) {
  for (const int tier : {1, 3}) UseTier(tier, MakeFileSystem(FileSystem::kExt4, 20) + "/tree");
  Prepare();
  ASSERT_EQ(Append(Mnt("usr/bin/three")), 0);
  for (const char* name : {"etc/one", "etc/two", "usr/bin/three", "var/lib/deep/four", "five"}) {
    EXPECT_EQ(TreesWith(name), std::set<int>{1}) << name;
    EXPECT_EQ(Stat(Mnt(name)).st_nlink, 5U) << name;
  }
  Remount();
  EXPECT_EQ(ReadFile(Mnt("five")), "lower and more");
}

// A name that was removed or replaced before does not come back.
TEST_F(LinkedCopyUp, NamesThatNoLongerShowStayAway) {
  Prepare();
  Unmount();
  ASSERT_EQ(::mknod(Tier(2, "five").c_str(), S_IFCHR, 0), 0);
  MakeDirs(Tier(1, "etc"));
  WriteFile(Tier(1, "etc/two"), "own");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Append(Mnt("etc/one")), 0);
  EXPECT_EQ(Errno(::access(Mnt("five").c_str(), F_OK)), ENOENT);
  EXPECT_EQ(ReadFile(Mnt("etc/two")), "own");
  EXPECT_EQ(ReadFile(Mnt("usr/bin/three")), "lower and more");
  EXPECT_EQ(Stat(Mnt("etc/one")).st_nlink, 3U);
}

// A tier that was filled with hard links to a lower layer (cp -al).
TEST_F(LinkedCopyUp, ATierAndALowerLayerMayShareAFile) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/b", "shared");
  WriteFile(lower + "/c", "other");
  ASSERT_EQ(::link((lower + "/c").c_str(), (lower + "/d").c_str()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  ASSERT_EQ(::link((lower + "/b").c_str(), Tier(2, "a").c_str()), 0);
  ASSERT_EQ(::link((lower + "/c").c_str(), Tier(2, "e").c_str()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* name : {"b", "a", "c", "d", "e"}) EXPECT_NE(ReadFile(Mnt(name)), "");
  EXPECT_EQ(::unlink(Mnt("b").c_str()), 0) << std::strerror(errno);
  WriteFile(Mnt("new"), "new");
  EXPECT_EQ(::rename(Mnt("new").c_str(), Mnt("c").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("c")), "new");
  EXPECT_EQ(ReadFile(Mnt("a")), "shared");
  SkipKernelComparison();
}

// A symlink, a fifo, and names with every kind of byte.
TEST_F(LinkedCopyUp, AnyFileAndAnyName) {
  const std::string lower = AddLower("lower");
  const std::string odd = "-#\n \xff" + std::string(250, 'n');
  ASSERT_EQ(::symlink("target", (lower + "/symlink").c_str()), 0);
  ASSERT_EQ(::linkat(AT_FDCWD, (lower + "/symlink").c_str(), AT_FDCWD, (lower + "/symlink2").c_str(), 0), 0);
  ASSERT_EQ(::mkfifo((lower + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::link((lower + "/fifo").c_str(), (lower + "/fifo2").c_str()), 0);
  WriteFile(lower + "/file", "x");
  ASSERT_EQ(::link((lower + "/file").c_str(), (lower + "/" + odd).c_str()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::lchown(Mnt("symlink").c_str(), 5, 6), 0);
  ASSERT_EQ(::chmod(Mnt("fifo2").c_str(), 0640), 0);
  ASSERT_EQ(Append(Mnt(odd)), 0);
  EXPECT_EQ(Stat(Mnt("symlink2")).st_uid, 5U);
  EXPECT_EQ(Stat(Mnt("symlink2")).st_nlink, 2U);
  EXPECT_EQ(Stat(Mnt("fifo")).st_mode & 07777, 0640U);
  EXPECT_EQ(ReadFile(Mnt("file")), "x and more");
}

}  // namespace
}  // namespace tierfs::test
