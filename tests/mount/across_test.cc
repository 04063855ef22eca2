// Tiers on several file systems, and copy-up while a lower file is read.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>

#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

class Across : public OverlayTest {
 protected:
  void SetUp() override {
    UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
    SetPolicy("1 /etc/\n3 *.tmp\n4 /usr/\n");
  }
};

TEST_F(Across, AClosedFileIsInItsTierWhenRenameReturns) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/conf"), "old");
  WriteFile(Mnt("etc/conf.tmp"), "new");
  ASSERT_EQ(::chmod(Mnt("etc/conf.tmp").c_str(), 0640), 0);
  ASSERT_EQ(::truncate(Mnt("etc/conf.tmp").c_str(), 1 << 20), 0);
  const ino_t inode = Stat(Mnt("etc/conf.tmp")).st_ino;
  ASSERT_EQ(TreesWith("etc/conf.tmp"), std::set<int>{3});
  WaitForHandles(0);
  ASSERT_EQ(::rename(Mnt("etc/conf.tmp").c_str(), Mnt("etc/conf").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("etc/conf"), std::set<int>{1});
  EXPECT_EQ(TreesWith("etc/conf.tmp"), std::set<int>{});
  EXPECT_EQ(ReadFile(Mnt("etc/conf")).substr(0, 3), "new");
  const struct stat st = Stat(Mnt("etc/conf"));
  EXPECT_EQ(st.st_ino, inode);
  EXPECT_EQ(st.st_mode & 07777, 0640U);
  EXPECT_EQ(st.st_size, 1 << 20);
  EXPECT_LT(st.st_blocks, 1024) << "the hole was kept";
  ExpectNoWorkFiles();
}

// A mapping outlives the descriptor that made it: stores into it belong to the file.
TEST_F(Across, AMappingThatOutlivesItsDescriptorKeepsItsFile) {
  ASSERT_TRUE(Mount()) << Refusal();
  constexpr size_t kSize = 4096;
  WriteFile(Mnt("data.tmp"), std::string(kSize, '.'));
  const int fd = ::open(Mnt("data.tmp").c_str(), O_RDWR);
  char* map = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(map, MAP_FAILED);
  ::close(fd);
  // Without passthrough, the mapping keeps the handle open.
  WaitForHandles(Passthrough() ? 0 : 1);
  ASSERT_EQ(::rename(Mnt("data.tmp").c_str(), Mnt("data").c_str()), 0) << std::strerror(errno);
  (void)Execute({TIERCTL_BINARY, "settle", "--wait", ConfigFile()});
  map[0] = 'm';
  ASSERT_EQ(::msync(map, kSize, MS_SYNC), 0);
  EXPECT_EQ(ReadFile(Mnt("data"))[0], 'm');
  map[1] = 'n';
  ::munmap(map, kSize);
  ::close(::open(Mnt("data").c_str(), O_RDWR));
  WaitForHandles(0);
  EXPECT_EQ(Execute({TIERCTL_BINARY, "settle", "--wait", ConfigFile()}).code, 0);
  EXPECT_EQ(ReadFile(Mnt("data")).substr(0, 3), "mn.");
  EXPECT_EQ(TreesWith("data"), std::set<int>{2});
}

// A file that waits for the end of its mapping has an open intent. Nothing of the intent may be
// left, however the file reaches its tier.
TEST_F(Across, AFileThatWaitedForItsMappingLeavesNoIntent) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::vector<std::string> names{"settled", "removed", "replaced", "renamed", "reopened"};
  const auto intents = [&] { return Status()["daemon"]["catalogue"]["open_intents"].size(); };
  const auto none_left = [&] {
    for (int i = 0; i < 500 && intents() > 0; ++i) ::usleep(10'000);
    return intents() == 0;
  };
  for (const std::string& name : names) {
    WriteFile(Mnt(name + ".tmp"), std::string(4096, '.'));
    const int fd = ::open(Mnt(name + ".tmp").c_str(), O_RDWR);
    char* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ASSERT_NE(map, MAP_FAILED);
    ::close(fd);
    ASSERT_EQ(::rename(Mnt(name + ".tmp").c_str(), Mnt(name).c_str()), 0) << std::strerror(errno);
    // For a moment, the attempt that found the file mapped has an intent as well.
    EXPECT_GE(intents(), 1U) << name << Status();
    map[0] = 'm';
    ::munmap(map, 4096);
    if (name == "settled") Settled();
    if (name == "removed") {
      ASSERT_EQ(::unlink(Mnt(name).c_str()), 0);
    }
    if (name == "replaced") {
      WriteFile(Mnt("other"), "other");
      ASSERT_EQ(::rename(Mnt("other").c_str(), Mnt(name).c_str()), 0);
    }
    if (name == "renamed") {
      ASSERT_EQ(::rename(Mnt(name).c_str(), Mnt("home.tmp").c_str()), 0);
    }
    if (name == "reopened") {
      // Makes the kernel forget the file, so that the open looks it up again.
      ASSERT_EQ(Shell("echo 2 > /proc/sys/vm/drop_caches").code, 0);
      ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
      ::close(::open(Mnt(name).c_str(), O_RDWR));
    }
    EXPECT_TRUE(none_left()) << name << Status();
  }
  for (const char* name : {"settled", "reopened"}) {
    EXPECT_EQ(TreesWith(name), std::set<int>{2});
    EXPECT_EQ(ReadFile(Mnt(name)).substr(0, 2), "m.");
  }
  EXPECT_EQ(TreesWith("home.tmp"), std::set<int>{3});
}

TEST_F(Across, AnImmutableFileIsNotRenamedToAnotherDisk) {
  ASSERT_TRUE(Mount()) << Refusal();
  // The file system of tier 2 supports inode flags.
  WriteFile(Mnt("fixed"), "fixed");
  WriteFile(Mnt("there.tmp"), "there");
  ASSERT_EQ(Shell("chattr +i " + Tier(2, "fixed")).code, 0);
  EXPECT_EQ(Errno(::rename(Mnt("fixed").c_str(), Mnt("there.tmp").c_str())), EPERM);
  EXPECT_EQ(ReadFile(Mnt("there.tmp")), "there");
  WriteFile(Base("other.tiers"), "3 fixed\n3 *.tmp\n");
  EXPECT_NE(Execute({TIERCTL_BINARY, "retier", "--policy", Base("other.tiers"), ConfigFile()}).code, 0);
  EXPECT_EQ(TreesWith("fixed"), std::set<int>{2});
  EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 0U);
  ASSERT_EQ(Shell("chattr -i " + Tier(2, "fixed")).code, 0);
  ASSERT_EQ(Shell("printf ' and more' >> " + Mnt("fixed")).code, 0);
  Remount();
  EXPECT_EQ(ReadFile(Mnt("fixed")), "fixed and more");
  EXPECT_EQ(ReadFile(Mnt("there.tmp")), "there");
}

TEST_F(Across, AnOpenFileKeepsEveryWriteAndMovesWhenItIsClosed) {
  ASSERT_TRUE(Mount()) << Refusal();
  const int fd = ::open(Mnt("doc.tmp").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("doc"), std::set<int>{3});
  EXPECT_EQ(Status()["daemon"]["waiting_for_close"], nlohmann::json::array({"doc"}));
  EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 1U);
  ASSERT_EQ(::write(fd, "after", 5), 5);
  const int second = ::open(Mnt("doc").c_str(), O_WRONLY | O_APPEND);
  ASSERT_EQ(::write(second, "!", 1), 1);
  ::close(second);
  ::close(fd);
  Settled();
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
  EXPECT_EQ(ReadFile(Mnt("doc")), "before after!");
  EXPECT_EQ(Status()["daemon"]["waiting_for_close"], nlohmann::json::array());
  EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 0U);
}

TEST_F(Across, TheNextDaemonMovesAFileThatAKilledOneHadToMove) {
  ASSERT_TRUE(Mount()) << Refusal();
  const int fd = ::open(Mnt("doc.tmp").c_str(), O_RDWR | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "text", 4), 4);
  ASSERT_EQ(::fsync(fd), 0);
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0);
  KillDaemon();
  ::close(fd);
  ASSERT_TRUE(Mount()) << Refusal();
  Settled();
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
  EXPECT_EQ(ReadFile(Mnt("doc")), "text");
}

TEST_F(Across, LinksAndExchangesBetweenDisksFailWithExdev) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a.tmp"), "a");
  WriteFile(Mnt("b"), "b");
  EXPECT_EQ(Errno(::link(Mnt("a.tmp").c_str(), Mnt("a").c_str())), EXDEV) << "tier 2 protects better than tier 3";
  ASSERT_EQ(::link(Mnt("b").c_str(), Mnt("b.tmp").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("b.tmp"), std::set<int>{2});
  EXPECT_EQ(Errno(::renameat2(AT_FDCWD, Mnt("a.tmp").c_str(), AT_FDCWD, Mnt("b").c_str(), RENAME_EXCHANGE)), EXDEV);
  EXPECT_EQ(ReadFile(Mnt("b")), "b");
  EXPECT_EQ(ReadFile(Mnt("a.tmp")), "a");
}

TEST_F(Across, RetierShowsAndThenMovesTheFilesThatAPolicyChanges) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("cache/deep"));
  WriteFile(Mnt("cache/deep/one"), std::string(1000, '1'));
  WriteFile(Mnt("cache/two"), std::string(500, '2'));
  WriteFile(Base("new.tiers"), "1 /etc/\n3 *.tmp\n3 /cache/\n4 /usr/\n");
  const std::vector<std::string> command{TIERCTL_BINARY, "retier", ConfigFile(), "--policy", Base("new.tiers"), "--json"};
  auto dry = command;
  dry.push_back("-n");
  const auto shown = nlohmann::json::parse(Execute(dry).out);
  EXPECT_EQ(shown["moved"], 2);
  EXPECT_EQ(shown["bytes"], 1500);
  EXPECT_EQ(shown["moves"][0]["from"], 2);
  EXPECT_EQ(shown["moves"][0]["to"], 3);
  EXPECT_EQ(TreesWith("cache/two"), std::set<int>{2}) << "-n moves nothing";
  const Ran moved = Execute(command);
  ASSERT_EQ(moved.code, 0) << moved.out << moved.err;
  EXPECT_EQ(nlohmann::json::parse(moved.out)["bytes"], 1500);
  EXPECT_EQ(TreesWith("cache/deep/one"), std::set<int>{3});
  EXPECT_EQ(TreesWith("cache"), std::set<int>{3}) << "no part of it is left in tier 2";
  EXPECT_EQ(ReadFile(Mnt("cache/deep/one")), std::string(1000, '1'));
  WriteFile(Base("bad.tiers"), "9 /etc/\n");
  const Ran refused = Execute({TIERCTL_BINARY, "retier", ConfigFile(), "--policy", Base("bad.tiers")});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("bad.tiers:1"), std::string::npos) << refused.err;
  ExpectNoWorkFiles();
}

TEST_F(Across, ADirectoryInTiersAndLowerLayersCanBeRenamed) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/app/sub");
  WriteFile(lower + "/app/a", "a");
  WriteFile(lower + "/app/sub/b", "b");
  MakeDirs(lower + "/usr");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("app/x.tmp"), "x");
  ASSERT_EQ(::rename(Mnt("app").c_str(), Mnt("usr/app").c_str()), 0) << std::strerror(errno);
  EXPECT_FALSE(Exists(Mnt("app")));
  EXPECT_EQ(Names(Mnt("usr/app")), (std::set<std::string>{"a", "sub", "x.tmp"}));
  EXPECT_EQ(ReadFile(Mnt("usr/app/sub/b")), "b");
  Settled();
  EXPECT_EQ(TreesWith("usr/app/a"), std::set<int>{4});
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"2/app"});
  ASSERT_EQ(::mkdir(Mnt("app").c_str(), 0755), 0);
  EXPECT_EQ(Names(Mnt("app")), std::set<std::string>{}) << "the content of the lower layers stays hidden";
  WriteFile(Mnt("app/a"), "new");
  EXPECT_EQ(ReadFile(Mnt("app/a")), "new");
}

TEST_F(Across, ACopyUpDoesNotDisturbReadersOfTheLowerFile) {
  WriteFile(AddLower("lower") + "/file", std::string(8192, 'o'));
  ASSERT_TRUE(Mount()) << Refusal();
  const int reader = ::open(Mnt("file").c_str(), O_RDONLY);
  char* map = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ, MAP_SHARED, reader, 0));
  ASSERT_NE(map, MAP_FAILED);
  EXPECT_EQ(map[0], 'o');
  const ino_t inode = Stat(Mnt("file")).st_ino;
  ASSERT_EQ(::chmod(Mnt("file").c_str(), 0600), 0) << std::strerror(errno);
  for (const int flags : {O_RDONLY, O_RDWR, O_WRONLY | O_APPEND}) {
    const int fd = ::open(Mnt("file").c_str(), flags);
    ASSERT_GE(fd, 0) << std::strerror(errno);
    if (flags != O_RDONLY) {
      EXPECT_EQ(::write(fd, "N", 1), 1) << std::strerror(errno);
    }
    ::close(fd);
  }
  const std::string now = ReadFile(Mnt("file"));
  EXPECT_EQ(now.size(), 8193U);
  EXPECT_EQ(now[0], 'N');
  EXPECT_EQ(now[8192], 'N');
  EXPECT_EQ(Stat(Mnt("file")).st_ino, inode);
  char byte = 0;
  ASSERT_EQ(::pread(reader, &byte, 1, 4096), 1);
  EXPECT_EQ(byte, 'o');
  EXPECT_EQ(map[4096], 'o');
  ::munmap(map, 8192);
  ::close(reader);
  EXPECT_EQ(TreesWith("file"), std::set<int>{2});
}

TEST_F(Across, AFullTierLeavesTheSourceAndNoWorkFiles) {
  UseTier(1, MakeFileSystem(FileSystem::kTmpfs, 4) + "/tree");
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/etc");
  WriteFile(lower + "/etc/big", std::string(8 << 20, 'l'));
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("big.tmp"), std::string(8 << 20, 'x'));
  WaitForHandles(0);
  EXPECT_EQ(Errno(::rename(Mnt("big.tmp").c_str(), Mnt("etc/conf").c_str())), ENOSPC);
  EXPECT_EQ(ReadFile(Mnt("big.tmp")), std::string(8 << 20, 'x'));
  EXPECT_FALSE(Exists(Mnt("etc/conf")));
  EXPECT_EQ(Errno(::open(Mnt("etc/big").c_str(), O_RDWR)), ENOSPC);
  EXPECT_EQ(Errno(::chmod(Mnt("etc/big").c_str(), 0600)), ENOSPC);
  EXPECT_EQ(ReadFile(Mnt("etc/big")), std::string(8 << 20, 'l'));
  EXPECT_EQ(TreesWith("etc/big"), std::set<int>{});
  ExpectNoWorkFiles();
  // A truncation copies only the bytes that it keeps; these have room.
  ASSERT_EQ(::truncate(Mnt("etc/big").c_str(), 5), 0) << std::strerror(errno);
  EXPECT_EQ(ReadFile(Mnt("etc/big")), "lllll");
  EXPECT_EQ(TreesWith("etc/big"), std::set<int>{1});
}

TEST_F(Across, ATierAtTheRootOfItsFileSystemIsRefused) {
  UseTier(4, MakeFileSystem(FileSystem::kTmpfs, 16));
  EXPECT_FALSE(Mount());
  EXPECT_NE(Refusal().find("tier 4 is the root of its file system"), std::string::npos) << Refusal();
}

}  // namespace
}  // namespace tierfs::test
