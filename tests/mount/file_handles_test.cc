// Handles of files (name_to_handle_at, NFS) lead to the same file for as long as it has a name in
// the view: after the kernel has dropped its caches, and after a remount.
#include <fcntl.h>
#include <sys/mount.h>

#include <optional>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

struct Handle {
  unsigned size = MAX_HANDLE_SZ;
  int type = 0;
  unsigned char bytes[MAX_HANDLE_SZ] = {};
  [[nodiscard]] file_handle* Get() { return reinterpret_cast<file_handle*>(this); }
};

Handle HandleOf(const std::string& path) {
  Handle handle;
  int mount = 0;
  EXPECT_EQ(::name_to_handle_at(AT_FDCWD, path.c_str(), handle.Get(), &mount, 0), 0) << path << ": " << std::strerror(errno);
  return handle;
}

// Makes the kernel forget the names and inodes that nothing uses, of the mount and of the disks
// beneath. Several times: the inodes of a mount hold those of its tiers.
void DropCaches() {
  for (int i = 0; i < 3; ++i) {
    ::sync();
    WriteFile("/proc/sys/vm/drop_caches", "2");
    ::usleep(50'000);
  }
}

class Handles : public OverlayTest {
 protected:
  // Opens by handle. The errno, or 0 with the descriptor in `fd`.
  int Open(Handle handle, UniqueFd& fd, int flags = O_RDONLY) const {
    const UniqueFd mount(::open(Mnt().c_str(), O_RDONLY | O_DIRECTORY));
    fd.Reset(::open_by_handle_at(mount.get(), handle.Get(), flags));
    return fd ? 0 : errno;
  }
  int Open(const Handle& handle) const {
    UniqueFd fd;
    return Open(handle, fd, O_PATH);
  }
  // The content of a file by its handle, or the error.
  std::string Read(const Handle& handle) const {
    UniqueFd fd;
    if (const int error = Open(handle, fd); error != 0) return std::strerror(error);
    char buffer[64];
    const ssize_t size = ::read(fd.get(), buffer, sizeof buffer);
    return size < 0 ? std::strerror(errno) : std::string(buffer, static_cast<std::size_t>(size));
  }
  // A handle of the mount made by hand, for a file of the file system of tier 1. Its index is 0.
  Handle Forge(const std::string& path, const Handle& like, std::uint32_t generation) const {
    Handle handle = like;
    const std::uint64_t node = Stat(path).st_ino;
    const std::uint32_t words[] = {static_cast<std::uint32_t>(node >> 32), static_cast<std::uint32_t>(node), generation};
    std::memcpy(handle.bytes, words, sizeof words);
    return handle;
  }
};

const std::string kStale = std::strerror(ESTALE);

class HandlesOn : public Handles, public ::testing::WithParamInterface<FileSystem> {
 protected:
  void SetUp() override {
    disk_ = MakeFileSystem(GetParam(), 320);
    for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk_ + "/tier" + std::to_string(tier));
    SetPolicy("1 *.one\n3 *.three\n4 *.four\n");
    MakeDirs(disk_ + "/lower/low/deep");
    WriteFile(disk_ + "/lower/low/deep/l", "lower");
    UseLower(disk_ + "/lower");
    ASSERT_TRUE(Mount()) << Refusal();
  }
  std::string disk_;
};

TEST_P(HandlesOn, LeadToFilesOfEveryLayerAfterCachesAreDroppedAndAfterARemount) {
  MakeDirs(Mnt("d/sub"));
  const std::string names[] = {"top.one", "d/sub/x.one", "d/x", "d/sub/x.three", "x.four", "low/deep/l"};
  for (const std::string& name : names) {
    if (name != "low/deep/l") WriteFile(Mnt(name), name);
  }
  Remount();  // "d/sub" got a part in tier 1, and so another number
  std::vector<Handle> handles;
  for (const std::string& name : names) handles.push_back(HandleOf(Mnt(name)));
  const Handle directory = HandleOf(Mnt("d/sub"));
  const Handle lower = HandleOf(Mnt("low/deep"));
  const auto all = [&] {
    for (std::size_t i = 0; i < handles.size(); ++i) EXPECT_EQ(Read(handles[i]), names[i] == "low/deep/l" ? "lower" : names[i]) << names[i];
    UniqueFd fd;
    ASSERT_EQ(Open(directory, fd), 0);
    EXPECT_EQ(Names("/proc/self/fd/" + std::to_string(fd.get())), (std::set<std::string>{"x.one", "x.three"}));
    ASSERT_EQ(Open(lower, fd), 0);
    EXPECT_EQ(Names("/proc/self/fd/" + std::to_string(fd.get())), std::set<std::string>{"l"});
  };
  all();
  DropCaches();
  all();
  Remount();
  all();
  Unmount();
  DropCaches();
  ASSERT_TRUE(Mount()) << Refusal();
  all();
}

TEST_P(HandlesOn, FollowRenamesAndLinks) {
  MakeDirs(Mnt("d/sub"));
  for (const char* name : {"d/sub/a", "d/b", "c", "l"}) WriteFile(Mnt(name), name);
  const Handle a = HandleOf(Mnt("d/sub/a"));
  const Handle b = HandleOf(Mnt("d/b"));
  const Handle c = HandleOf(Mnt("c"));
  const Handle l = HandleOf(Mnt("l"));
  ASSERT_EQ(::rename(Mnt("d").c_str(), Mnt("e").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("e/b").c_str(), Mnt("e/sub/b").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("c").c_str(), Mnt("e/c.three").c_str()), 0);
  ASSERT_EQ(::link(Mnt("l").c_str(), Mnt("e/sub/l").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("l").c_str()), 0);
  Settled();
  DropCaches();
  EXPECT_EQ(Read(a), "d/sub/a");
  EXPECT_EQ(Read(b), "d/b");
  EXPECT_EQ(Read(c), "c");
  EXPECT_EQ(Read(l), "l");
  // The index of the trees is from now on older than the next rename.
  ASSERT_EQ(::rename(Mnt("e/sub/b").c_str(), Mnt("b").c_str()), 0);
  WriteFile(Mnt("new"), "new");
  const Handle made = HandleOf(Mnt("new"));
  DropCaches();
  EXPECT_EQ(Read(b), "d/b");
  EXPECT_EQ(Read(made), "new");
}

TEST_P(HandlesOn, AreStaleWhenTheFileIsGone) {
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("x"), "old");
  const Handle x = HandleOf(Mnt("x"));
  const Handle d = HandleOf(Mnt("d"));
  WaitForHandles(0);
  ASSERT_EQ(::unlink(Mnt("x").c_str()), 0);
  ASSERT_EQ(::rmdir(Mnt("d").c_str()), 0);
  EXPECT_EQ(Open(x), ESTALE);
  DropCaches();
  EXPECT_EQ(Open(x), ESTALE);
  EXPECT_EQ(Open(d), ESTALE);
  // New files reuse the inode numbers (on ext4 and XFS at once).
  for (int i = 0; i < 64; ++i) {
    WriteFile(Mnt("new" + std::to_string(i)), "new");
    MakeDirs(Mnt("newdir" + std::to_string(i)));
  }
  EXPECT_EQ(Open(x), ESTALE);
  EXPECT_EQ(Open(d), ESTALE);
  DropCaches();
  EXPECT_EQ(Open(x), ESTALE) << "not the new file with the old number";
  EXPECT_EQ(Open(d), ESTALE);
  Remount();
  EXPECT_EQ(Open(x), ESTALE);
  EXPECT_EQ(Read(HandleOf(Mnt("new0"))), "new");
}

TEST_P(HandlesOn, NeverLeadOutOfTheView) {
  WriteFile(disk_ + "/secret", "secret");
  MakeDirs(disk_ + "/elsewhere/dir");
  WriteFile(disk_ + "/elsewhere/dir/file", "secret");
  WriteFile(Mnt("x"), "mine");
  const Handle mine = HandleOf(Mnt("x"));
  // The generation of a handle of ext4 and XFS is in its last word, that of btrfs too.
  const auto generation_of = [](const std::string& path) {
    const Handle own = HandleOf(path);
    std::uint32_t generation = 0;
    std::memcpy(&generation, own.bytes + own.size - sizeof generation, sizeof generation);
    return generation;
  };
  const std::string outside[] = {
      disk_ + "/secret", disk_ + "/elsewhere/dir/file", disk_ + "/elsewhere/dir", disk_, disk_ + "/lower", disk_ + "/tier1",
      disk_ + "/tier2"};
  EXPECT_EQ(Read(Forge(Tier(2, "x"), mine, generation_of(Tier(2, "x")))), "mine") << "this is how handles look";
  for (const bool dropped : {false, true}) {
    if (dropped) DropCaches();
    for (const std::string& path : outside) EXPECT_EQ(Open(Forge(path, mine, generation_of(path))), ESTALE) << path << dropped;
  }
  Unmount();
  DropCaches();
  ASSERT_TRUE(Mount()) << Refusal();
  for (const std::string& path : outside) EXPECT_EQ(Open(Forge(path, mine, generation_of(path))), ESTALE) << path;
  // A hidden lower file, and one that a copy replaced.
  WriteFile(Mnt("low/deep/l"), "changed");
  EXPECT_EQ(Read(HandleOf(Mnt("low/deep/l"))), "changed");
  Remount();
  EXPECT_EQ(Open(Forge(disk_ + "/lower/low/deep/l", mine, generation_of(disk_ + "/lower/low/deep/l"))), ESTALE);
}

TEST_P(HandlesOn, OutliveACopyUpUntilTheUnmount) {
  const Handle l = HandleOf(Mnt("low/deep/l"));
  ASSERT_EQ(Shell("printf +more >> " + Mnt("low/deep/l")).code, 0);
  EXPECT_EQ(Read(l), "lower+more");
  DropCaches();
  EXPECT_EQ(Read(l), "lower+more");
  const Handle deep = HandleOf(Mnt("low/deep"));
  WriteFile(Mnt("low/deep/n.one"), "one");
  DropCaches();
  EXPECT_EQ(Open(deep), 0) << "a directory that got a part in a better tier";
  Remount();
  EXPECT_EQ(Open(l), ESTALE) << "the handle has the number of the lower file";
  EXPECT_EQ(Open(deep), ESTALE);
  EXPECT_EQ(Read(HandleOf(Mnt("low/deep/l"))), "lower+more");
}

TEST_P(HandlesOn, GiveAFileToReadWriteAndChange) {
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/x"), "old");
  const Handle x = HandleOf(Mnt("d/x"));
  DropCaches();
  {
    UniqueFd fd;
    ASSERT_EQ(Open(x, fd, O_RDWR | O_TRUNC), 0);
    ASSERT_EQ(::write(fd.get(), "new", 3), 3);
    ASSERT_EQ(::fchmod(fd.get(), 0600), 0);
    ASSERT_EQ(::fsetxattr(fd.get(), "user.k", "v", 1, 0), 0) << std::strerror(errno);
    ASSERT_EQ(::fsync(fd.get()), 0);
    EXPECT_EQ(::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), AT_FDCWD, Mnt("y").c_str(), AT_SYMLINK_FOLLOW), 0);
  }
  EXPECT_EQ(ReadFile(Mnt("d/x")), "new");
  EXPECT_EQ(ReadFile(Mnt("y")), "new");
  EXPECT_EQ(ReadFile(Tier(2, "d/x")), "new");
  EXPECT_EQ(Stat(Mnt("d/x")).st_mode & 07777, 0600U);
  EXPECT_EQ(Xattr(Mnt("y"), "user.k"), "v");
}

INSTANTIATE_TEST_SUITE_P(On, HandlesOn, ::testing::Values(FileSystem::kExt4, FileSystem::kXfs, FileSystem::kBtrfs), [](const auto& kind) {
  return std::string(kind.param == FileSystem::kExt4 ? "ext4" : kind.param == FileSystem::kXfs ? "xfs" : "btrfs");
});

TEST_F(Handles, FollowAMoveToAnotherDiskUntilTheUnmount) {
  UseTier(3, MakeFileSystem(FileSystem::kXfs, 320) + "/three");
  SetPolicy("3 *.tmp\n");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("x.tmp"), "x");
  const Handle x = HandleOf(Mnt("x.tmp"));
  ASSERT_EQ(::rename(Mnt("x.tmp").c_str(), Mnt("x").c_str()), 0);
  Settled();
  EXPECT_EQ(TreesWith("x"), std::set<int>{2});
  DropCaches();
  EXPECT_EQ(Read(x), "x");
}

TEST_F(Handles, LeadIntoAnImage) {
  const std::string content = Base("content");
  MakeDirs(content + "/usr/bin");
  WriteFile(content + "/usr/bin/tool", "tool");
  UseLower(MakeSquashfs(content));
  ASSERT_TRUE(Mount()) << Refusal();
  const Handle tool = HandleOf(Mnt("usr/bin/tool"));
  DropCaches();
  EXPECT_EQ(Read(tool), "tool");
  ASSERT_EQ(::unlink(Mnt("usr/bin/tool").c_str()), 0);
  DropCaches();
  EXPECT_EQ(Open(tool), ESTALE) << "it is hidden";
}

TEST_F(Handles, AreStaleOnceForgottenWhereTheFileSystemHasNone) {
  UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 16) + "/three");
  SetPolicy("3 *.tmp\n");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("x.tmp"), "x");
  const Handle x = HandleOf(Mnt("x.tmp"));
  EXPECT_EQ(Read(x), "x");
  DropCaches();
  EXPECT_EQ(Open(x), ESTALE);
  EXPECT_EQ(ReadFile(Mnt("x.tmp")), "x");
}

}  // namespace
}  // namespace tierfs::test
