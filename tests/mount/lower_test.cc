// Lower layers of every kind: their content shows, changes go to the tiers, and the layers stay
// unchanged.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>

#include <sstream>

#include "fs/os/unique_fd.h"
#include "tests/mount/image.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

enum class Kind { kDirectory, kSquashfs, kExt4, kTmpfs, kXfs, kBtrfs, kOverlayfs };

const char* NameOf(Kind kind) {
  static constexpr const char* kNames[] = {"directory", "squashfs", "ext4", "tmpfs", "xfs", "btrfs", "overlayfs"};
  return kNames[static_cast<std::size_t>(kind)];
}

class LowerOf : public OverlayTest, public ::testing::WithParamInterface<Kind> {
 protected:
  void SetUp() override {
    const std::string image = Base("image");
    MakeDirs(image);
    FillImage(image);
    layer_ = MakeLayer(image);
    UseLower(layer_);
    SetPolicy("1 /etc/\n3 /var/\n4 /usr/\n4 /dev/\n");
    before_ = TakeSnapshot(layer_);
  }
  void TearDown() override {
    OverlayTest::TearDown();
    ExpectUntouched();
  }
  // Expects that the layer is unchanged, ctimes included.
  void ExpectUntouched() const {
    const Snapshot after = TakeSnapshot(layer_);
    EXPECT_EQ(Differences(before_, after), "");
    for (const auto& [path, record] : before_) {
      const auto now = after.find(path);
      if (now == after.end()) continue;
      const struct stat& a = record.st;
      const struct stat& b = now->second.st;
      EXPECT_EQ(a.st_ino, b.st_ino) << path;
      EXPECT_EQ(a.st_mtim.tv_sec, b.st_mtim.tv_sec) << path;
      EXPECT_EQ(a.st_mtim.tv_nsec, b.st_mtim.tv_nsec) << path;
      EXPECT_EQ(a.st_ctim.tv_sec, b.st_ctim.tv_sec) << path;
      EXPECT_EQ(a.st_ctim.tv_nsec, b.st_ctim.tv_nsec) << path;
      EXPECT_EQ(a.st_blocks, b.st_blocks) << path;
    }
  }
  [[nodiscard]] std::string Layer(const std::string& path) const { return layer_ + "/" + path; }

 private:
  std::string MakeLayer(const std::string& image) {
    const auto copied_to = [&](const std::string& made) {
      const Ran copied = Execute({"cp", "-a", image + "/.", made});
      EXPECT_EQ(copied.code, 0) << copied.err;
      EXPECT_EQ(::chmod(made.c_str(), 0755), 0);
      return made;
    };
    switch (GetParam()) {
      case Kind::kDirectory:
        return image;
      case Kind::kSquashfs:
        return MakeSquashfs(image);
      case Kind::kExt4:
        return MakeExt4Image(image);
      case Kind::kTmpfs:
        return copied_to(MakeFileSystem(FileSystem::kTmpfs, 16));
      case Kind::kXfs:
        return copied_to(MakeFileSystem(FileSystem::kXfs, 320));
      case Kind::kBtrfs:
        return copied_to(MakeFileSystem(FileSystem::kBtrfs, 256));
      case Kind::kOverlayfs:
        break;
    }
    MakeDirs(Base("above"));
    return MountKernelOverlay({Base("above"), image});
  }

  std::string layer_;
  Snapshot before_;
};

TEST_P(LowerOf, ShowsAllItsContent) {
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Differences(TakeSnapshot(Layer("")), TakeSnapshot(Mnt())), "");
  EXPECT_EQ(Xattr(Mnt("etc/conf"), "user.tierfs.layer"), Layer("").substr(0, Layer("").size() - 1));
  EXPECT_EQ(TierOf("etc/conf"), 4) << "a lower layer counts as the bulk tier";
  EXPECT_EQ(Xattr(Mnt("etc/conf"), "user.tierfs.class"), "1");
  // Reading copies nothing.
  for (int tier = 1; tier <= 4; ++tier) EXPECT_EQ(Names(Tier(tier)), std::set<std::string>{});
}

// Passthrough begins with the copy-up.
TEST_P(LowerOf, IsReadThroughThePageCache) {
  ASSERT_TRUE(Mount()) << Refusal();
  const UniqueFd fd(::open(Mnt("usr/bin/tool").c_str(), O_RDONLY));
  ASSERT_TRUE(fd) << std::strerror(errno);
  char byte = 0;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, 4999), 1);
  EXPECT_EQ(byte, 't');
  EXPECT_EQ(Status()["daemon"]["passthrough_handles"], 0);
  const UniqueFd copy(::open(Mnt("etc/conf").c_str(), O_RDWR));
  ASSERT_TRUE(copy) << std::strerror(errno);
  EXPECT_EQ(Status()["daemon"]["passthrough_handles"], Passthrough() ? 1 : 0);
}

TEST_P(LowerOf, FsyncOfItsFilesWorks) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* path : {"usr/bin/tool", "etc", ""}) {
    const UniqueFd fd(::open(Mnt(path).c_str(), O_RDONLY));
    EXPECT_EQ(Errno(::fsync(fd.get())), 0) << path;
    EXPECT_EQ(Errno(::fdatasync(fd.get())), 0) << path;
    EXPECT_EQ(Errno(::syncfs(fd.get())), 0) << path;
  }
}

TEST_P(LowerOf, AWriteGoesToTheTierWithAllAttributes) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* path : {"etc/conf", "etc/acl", "var/log/a.log", "var/sparse"}) {
    const Snapshot shown = TakeSnapshot(Mnt());
    const ino_t inode = Stat(Mnt(path)).st_ino;
    const UniqueFd fd(::open(Mnt(path).c_str(), O_WRONLY));
    ASSERT_TRUE(fd) << path << ": " << std::strerror(errno);
    EXPECT_EQ(::futimens(fd.get(), std::array<timespec, 2>{timespec{0, UTIME_OMIT}, shown.at(path).st.st_mtim}.data()), 0);
    const Snapshot now = TakeSnapshot(Mnt());
    EXPECT_EQ(Differences(shown, now), "") << path;
    EXPECT_EQ(Stat(Mnt(path)).st_ino, inode) << path;
    EXPECT_EQ(TreesWith(path), std::set<int>{path[0] == 'e' ? 1 : 3}) << path;
    EXPECT_EQ(::pwrite(fd.get(), "!", 1, 0), 1) << std::strerror(errno);
    EXPECT_EQ(ReadFile(Mnt(path)).substr(0, 1), "!") << path;
  }
}

// Typical changes of a system: install, upgrade, move, remove.
TEST_P(LowerOf, StaysUnchangedByAnyOperation) {
  ASSERT_TRUE(Mount()) << Refusal();
  const Ran worked = Shell(R"(set -e; cd )" + Mnt() + R"(
    for i in 1 2 3; do
      echo line >> etc/conf; chmod 600 etc/conf; chown 5:5 etc/conf; setfattr -n user.more -v $i etc/conf
      setfacl -m u:7:r etc/acl; truncate -s 10 var/sparse; touch usr/share/two; echo x >> usr/share/one
      cp -a usr/bin usr/sbin; mv usr/sbin/tool usr/sbin/tool$i; rm -r usr/bin; mv usr/sbin usr/bin; cp usr/bin/tool$i usr/bin/tool
      chmod 755 var/spool; chown 0:0 var/log; touch var/log
      mv etc/link etc/link.old; ln -s conf etc/link; mv -T etc/link etc/link.old
      ln -s conf etc/link; ln etc/conf etc/conf.hard$i
      rm -f run/fifo dev/zero run/socket; mkfifo run/fifo; mknod dev/zero c 1 5
      mv var/log var/log.$i; mkdir var/log; echo new > var/log/a.log; rm -r var/log; mkdir var/log; echo b > var/log/b.log
    done
    mv etc etc.away; mv var etc; mv etc.away var; rm -r usr; mkdir usr; echo x > usr/x)");
  ASSERT_EQ(worked.code, 0) << worked.err;
  EXPECT_EQ(::renameat2(AT_FDCWD, Mnt("run").c_str(), AT_FDCWD, Mnt("etc").c_str(), RENAME_EXCHANGE), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("run")), (std::set<std::string>{"log", "log.1", "log.2", "log.3", "sparse", "spool"}));
  EXPECT_EQ(ReadFile(Mnt("usr/x")), "x\n");
  Settled();
  EXPECT_EQ(Execute({TIERCTL_BINARY, "check", ConfigFile()}).out, "test: nothing found\n");
}

INSTANTIATE_TEST_SUITE_P(Kinds, LowerOf,
                         ::testing::Values(Kind::kDirectory, Kind::kSquashfs, Kind::kExt4, Kind::kTmpfs, Kind::kXfs, Kind::kBtrfs,
                                           Kind::kOverlayfs),
                         [](const auto& kind) { return std::string(NameOf(kind.param)); });

class Lower : public OverlayTest {};

TEST_F(Lower, TheUppermostLayerWithANameShows) {
  const std::string upper = AddLower("upper");
  const std::string middle = AddLower("middle");
  const std::string lowest = AddLower("lowest");
  for (const std::string& layer : {upper, middle, lowest}) {
    MakeDirs(layer + "/d");
    WriteFile(layer + "/d/all", layer);
    WriteFile(layer + "/d/of" + layer.substr(layer.rfind('-')), "");
  }
  WriteFile(middle + "/d/two", "middle");
  WriteFile(lowest + "/d/two", "lowest");
  // A file hides the directory beneath it, and ends the merge with the layers beneath that one.
  MakeDirs(upper + "/mixed");
  WriteFile(upper + "/mixed/upper", "");
  WriteFile(middle + "/mixed", "a file");
  MakeDirs(lowest + "/mixed");
  WriteFile(lowest + "/mixed/lowest", "");
  WriteFile(middle + "/file", "file");
  MakeDirs(lowest + "/file/beneath");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("d/all")), upper);
  EXPECT_EQ(ReadFile(Mnt("d/two")), "middle");
  EXPECT_EQ(Names(Mnt("d")), (std::set<std::string>{"all", "two", "of-upper", "of-middle", "of-lowest"}));
  EXPECT_EQ(Names(Mnt("mixed")), std::set<std::string>{"upper"});
  EXPECT_EQ(ReadFile(Mnt("file")), "file");
  // A tier is above every lower layer.
  WriteFile(Mnt("d/two"), "tier");
  EXPECT_EQ(ReadFile(Mnt("d/two")), "tier");
  ASSERT_EQ(::unlink(Mnt("d/two").c_str()), 0);
  EXPECT_FALSE(Exists(Mnt("d/two")));
  ASSERT_EQ(::unlink(Mnt("file").c_str()), 0);
  EXPECT_FALSE(Exists(Mnt("file")));
  ASSERT_EQ(::mkdir(Mnt("file").c_str(), 0755), 0) << std::strerror(errno);
  EXPECT_EQ(Names(Mnt("file")), std::set<std::string>{}) << "the entries that the file hid stay hidden";
}

TEST_F(Lower, AMergedDirectoryHasTheAttributesOfItsUppermostPart) {
  const std::string upper = AddLower("upper");
  const std::string lowest = AddLower("lowest");
  MakeDirs(upper + "/d");
  MakeDirs(lowest + "/d");
  ASSERT_EQ(::chmod((upper + "/d").c_str(), 0750), 0);
  ASSERT_EQ(::chmod((lowest + "/d").c_str(), 0711), 0);
  ASSERT_EQ(::setxattr((upper + "/d").c_str(), "user.from", "upper", 5, 0), 0);
  ASSERT_EQ(::setxattr((lowest + "/d").c_str(), "user.from", "lowest", 6, 0), 0);
  WriteFile(lowest + "/d/l", "");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Stat(Mnt("d")).st_mode & 07777, 0750U);
  EXPECT_EQ(Xattr(Mnt("d"), "user.from"), "upper");
  WriteFile(Mnt("d/x.tmp"), "3");
  WriteFile(Mnt("d/y"), "2");
  EXPECT_EQ(Names(Mnt("d")), (std::set<std::string>{"l", "x.tmp", "y"}));
  for (const int tier : {2, 3}) {
    EXPECT_EQ(Stat(Tier(tier, "d")).st_mode & 07777, 0750U) << tier;
    EXPECT_EQ(Xattr(Tier(tier, "d"), "user.from"), "upper") << tier;
  }
  ASSERT_EQ(::chmod(Mnt("d").c_str(), 0700), 0);
  EXPECT_EQ(Stat(Mnt("d")).st_mode & 07777, 0700U);
  EXPECT_EQ(Stat(upper + "/d").st_mode & 07777, 0750U);
}

TEST_F(Lower, TheDirectoryBeneathTheMountpointIsTheLowestLayer) {
  const std::string upper = AddLower("upper");
  WriteFile(upper + "/both", "upper");
  FillImage(Mnt());
  WriteFile(Mnt("both"), "over");
  const Snapshot before = TakeSnapshot(Mnt());
  UseOver();
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("both")), "upper");
  EXPECT_EQ(ReadFile(Mnt("etc/link")), "setting = 1\n");
  WriteFile(Mnt("etc/conf"), "changed");
  ASSERT_EQ(Shell("rm -r " + Mnt("usr") + " && mv " + Mnt("var") + " " + Mnt("usr")).code, 0);
  const Snapshot shown = TakeSnapshot(Mnt());
  Unmount();
  EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "") << "the lowest layer is never written";
  // A remount or a killed daemon changes nothing.
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Differences(shown, TakeSnapshot(Mnt())), "");
  KillDaemon();
  EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Differences(shown, TakeSnapshot(Mnt())), "");
}

TEST_F(Lower, OverByItsOwnKeyIsTheSame) {
  WriteFile(Mnt("file"), "over");
  AddToConfig("over = true");
  ASSERT_TRUE(MountTest::Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("file")), "over");
  WriteFile(Mnt("file"), "tier");
  Unmount();
  EXPECT_EQ(ReadFile(Mnt("file")), "over");
  EXPECT_EQ(ReadFile(Tier(2, "file")), "tier");
  SkipKernelComparison();
}

TEST_F(Lower, SixtyLayersAreShownAsOne) {
  for (int i = 0; i < 60; ++i) {
    const std::string layer = AddLower(std::to_string(i));
    WriteFile(layer + "/only" + std::to_string(i), "");
    WriteFile(layer + "/all", std::to_string(i));
  }
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Names(Mnt()).size(), 61U);
  EXPECT_EQ(ReadFile(Mnt("all")), "0");
  ASSERT_EQ(::unlink(Mnt("only59").c_str()), 0);
  WriteFile(Mnt("only58"), "tier");
  EXPECT_EQ(Names(Mnt()).size(), 60U);
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"2/only59"});
  SkipKernelComparison();  // the mount option would be longer than a page
}

TEST_F(Lower, ChangesUnderneathShowAfterARescanAndCauseNoError) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/d");
  for (const char* name : {"replaced", "gone", "grown", "d/in", "becomes"}) WriteFile(lower + "/" + name, "old");
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* name : {"replaced", "gone", "grown", "d/in", "becomes"}) EXPECT_EQ(ReadFile(Mnt(name)), "old");
  WriteFile(Mnt("d/tier"), "tier");
  const UniqueFd reader(::open(Mnt("replaced").c_str(), O_RDONLY));
  ASSERT_TRUE(reader);

  WriteFile(lower + "/new", "new");
  ASSERT_EQ(::rename((lower + "/new").c_str(), (lower + "/replaced").c_str()), 0);
  ASSERT_EQ(::unlink((lower + "/gone").c_str()), 0);
  ASSERT_EQ(Shell("printf more >> " + lower + "/grown").code, 0);
  ASSERT_EQ(::unlink((lower + "/becomes").c_str()), 0);
  MakeDirs(lower + "/becomes/directory");
  ASSERT_EQ(Shell("rm -r " + lower + "/d").code, 0);
  WriteFile(lower + "/added", "added");

  const Ran rescan = Execute({TIERCTL_BINARY, "rescan", ConfigFile()});
  ASSERT_EQ(rescan.code, 0) << rescan.err;
  char text[4] = {};
  EXPECT_EQ(::pread(reader.get(), text, 3, 0), 3) << std::strerror(errno);
  EXPECT_STREQ(text, "old");
  EXPECT_EQ(Names(Mnt()), (std::set<std::string>{"added", "becomes", "d", "grown", "replaced"}));
  EXPECT_EQ(ReadFile(Mnt("replaced")), "new");
  EXPECT_EQ(ReadFile(Mnt("grown")), "oldmore");
  EXPECT_EQ(ReadFile(Mnt("added")), "added");
  EXPECT_EQ(Names(Mnt("becomes")), std::set<std::string>{"directory"});
  EXPECT_EQ(Names(Mnt("d")), std::set<std::string>{"tier"});
  WriteFile(Mnt("replaced"), "tier");
  EXPECT_EQ(ReadFile(Mnt("replaced")), "tier");
  // The whiteout now hides nothing, and `check` reports it.
  ASSERT_EQ(::unlink(Mnt("added").c_str()), 0);
  ASSERT_EQ(::unlink((lower + "/added").c_str()), 0);
  const Ran check = Execute({TIERCTL_BINARY, "check", ConfigFile()});
  EXPECT_EQ(check.code, 1);
  EXPECT_NE(check.out.find("stray-whiteout"), std::string::npos) << check.out;
  ASSERT_EQ(Execute({TIERCTL_BINARY, "check", "--repair", ConfigFile()}).code, 0);
  EXPECT_EQ(Whiteouts(), std::set<std::string>{});
}

}  // namespace
}  // namespace tierfs::test
