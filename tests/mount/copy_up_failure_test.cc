// A copy fails midway. The lower file stays visible, the caller gets the error of the disk, and no
// half-made file is left.
#include <fcntl.h>
#include <sys/mount.h>

#include <csignal>

#include "fs/control/control.h"
#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

constexpr std::size_t kSize = 6 << 20;

class CopyUpFails : public OverlayTest {
 protected:
  // Puts tier 1 on this directory's file system. The tests copy etc/file there, from a lower layer
  // and from tier 3.
  void SetUpOn(const std::string& disk) {
    UseTier(1, disk + "/tree");
    UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
    SetPolicy("1 /etc/\n3 *.tmp\n");
    lower_ = AddLower("lower");
    MakeDirs(lower_ + "/etc");
    WriteFile(lower_ + "/etc/file", content_);
    ASSERT_EQ(::setxattr((lower_ + "/etc/file").c_str(), "user.note", "n", 1, 0), 0);
    ASSERT_TRUE(Mount()) << Refusal();
    WriteFile(Mnt("file.tmp"), content_);
    ASSERT_EQ(::mkdir(Mnt("etc/made").c_str(), 0755), 0) << std::strerror(errno);
  }
  // Expects that every way to copy the lower file up, and a rename that has to copy, fails with
  // this error and changes nothing.
  void ExpectFailure(int error) {
    const Snapshot before = TakeSnapshot(Mnt());
    const Snapshot tree = TakeSnapshot(Tier(1));
    EXPECT_EQ(Errno(::open(Mnt("etc/file").c_str(), O_RDWR)), error);
    EXPECT_EQ(Errno(::chmod(Mnt("etc/file").c_str(), 0600)), error);
    EXPECT_EQ(Errno(::setxattr(Mnt("etc/file").c_str(), "user.note", "other", 5, 0)), error);
    EXPECT_EQ(Errno(::truncate(Mnt("etc/file").c_str(), kSize - 1)), error);
    EXPECT_EQ(Errno(::link(Mnt("etc/file").c_str(), Mnt("etc/link").c_str())), error);
    EXPECT_EQ(Errno(::rename(Mnt("etc/file").c_str(), Mnt("etc/renamed").c_str())), error);
    EXPECT_EQ(Errno(::rename(Mnt("file.tmp").c_str(), Mnt("etc/new").c_str())), error);
    // A retier to a policy that gives the file tier 1 leaves it where it is.
    WriteFile(Base("there.tiers"), "1 /etc/\n1 *.tmp\n");
    const Ran retier = Execute({TIERCTL_BINARY, "retier", "--json", "--policy", Base("there.tiers"), ConfigFile()});
    EXPECT_EQ(retier.code, 1) << retier.out << retier.err;
    EXPECT_EQ(nlohmann::json::parse(retier.out)["failed"], 1) << retier.out;
    EXPECT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
    EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "");
    EXPECT_EQ(Differences(tree, TakeSnapshot(Tier(1))), "");
    EXPECT_EQ(TreesWith("etc/file"), std::set<int>{});
    EXPECT_EQ(TreesWith("file.tmp"), std::set<int>{3});
    EXPECT_EQ(Whiteouts(), std::set<std::string>{});
    ExpectNoWorkFiles();
    EXPECT_EQ(Status()["daemon"]["catalogue"]["open_intents"].size(), 0U);
  }
  void ExpectItWorksAgain() {
    ASSERT_EQ(::rename(Mnt("file.tmp").c_str(), Mnt("etc/new").c_str()), 0) << std::strerror(errno);
    EXPECT_EQ(TreesWith("etc/new"), std::set<int>{1});
    const UniqueFd fd(::open(Mnt("etc/file").c_str(), O_WRONLY));
    ASSERT_TRUE(fd) << std::strerror(errno);
    ASSERT_EQ(::pwrite(fd.get(), "N", 1, 0), 1);
    EXPECT_EQ(ReadFile(Mnt("etc/file")), "N" + content_.substr(1));
  }
  [[nodiscard]] const std::string& content() const { return content_; }
  [[nodiscard]] std::string Lower(const std::string& path) const { return lower_ + "/" + path; }

 private:
  const std::string content_ = std::string(kSize, 'l');
  std::string lower_;
};

TEST_F(CopyUpFails, WhereTheQuotaIsExceeded) {
  const std::string disk = MakeFileSystem(FileSystem::kBtrfs, 256);
  const std::string subvolume = disk + "/tier";
  const Ran limited =
      Shell("btrfs quota enable " + disk + " && btrfs subvolume create " + subvolume + " && btrfs qgroup limit 4M " + subvolume);
  ASSERT_EQ(limited.code, 0) << limited.out << limited.err;
  SetUpOn(subvolume);
  ExpectFailure(EDQUOT);
  ASSERT_EQ(Shell("btrfs qgroup limit none " + subvolume).code, 0);
  ExpectItWorksAgain();
}

// A directory whose content has to be copied up before it can be renamed.
TEST_F(CopyUpFails, MidwayThroughADirectory) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 32);
  SetUpOn(disk);
  for (int i = 0; i < 20; ++i) {
    MakeDirs(Lower("etc/d/" + std::to_string(i)));
    WriteFile(Lower("etc/d/" + std::to_string(i) + "/file"), std::string(1 << 20, 'd'));
  }
  ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
  ASSERT_EQ(Shell("fallocate -l $(($(stat -f -c %a*%S " + disk + ")-8388608)) " + disk + "/filler").code, 0);
  const Snapshot before = TakeSnapshot(Mnt());
  EXPECT_EQ(Errno(::rename(Mnt("etc/d").c_str(), Mnt("etc/e").c_str())), ENOSPC);
  EXPECT_EQ(Differences(before, TakeSnapshot(Mnt())), "") << "a part is in the tier now, but the view is the same";
  EXPECT_EQ(Whiteouts(), std::set<std::string>{});
  ExpectNoWorkFiles();
  ASSERT_EQ(::unlink((disk + "/filler").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("etc/d").c_str(), Mnt("etc/e").c_str()), 0) << std::strerror(errno);
  EXPECT_FALSE(Exists(Mnt("etc/d")));
  EXPECT_EQ(Names(Mnt("etc/e")).size(), 20U);
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"1/etc/d"});
}

TEST_F(CopyUpFails, WhereTheDiskHasBecomeReadOnly) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 64);
  SetUpOn(disk);
  ASSERT_EQ(Execute({"mount", "-o", "remount,ro", disk}).code, 0);
  ExpectFailure(EROFS);
  EXPECT_EQ(ReadFile(Mnt("etc/file")), content());
  ASSERT_EQ(Execute({"mount", "-o", "remount,rw", disk}).code, 0);
  ExpectItWorksAgain();
}

TEST_F(CopyUpFails, WhereTheDiskIsFull) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 24);
  SetUpOn(disk);
  WriteFile(disk + "/filler", "");
  ASSERT_EQ(Shell("fallocate -l $(($(stat -f -c %a*%S " + disk + ")-2097152)) " + disk + "/filler").code, 0);
  ExpectFailure(ENOSPC);
  ASSERT_EQ(::unlink((disk + "/filler").c_str()), 0);
  ExpectItWorksAgain();
}

// The disk is an image on a full file system: it accepts the data, and the sync fails.
TEST_F(CopyUpFails, WhereTheSyncFails) {
  const std::string memory = MakeFileSystem(FileSystem::kTmpfs, 8);
  const std::string image = memory + "/image";
  ASSERT_EQ(Shell("truncate -s 64M " + image + " && mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0 " + image).code, 0);
  SetUpOn(MountAt({"-o", "loop", image}));
  ASSERT_EQ(Shell("sync; dd if=/dev/zero of=" + memory + "/filler bs=1M 2>/dev/null; test -s " + memory + "/filler").code, 0);
  ExpectFailure(ENOSPC);
  EXPECT_EQ(ReadFile(Mnt("etc/file")), content());
  SkipKernelComparison();  // the content of such a disk is undefined
}

// The disk is an image on a mount whose daemon dies: reads and writes past the page cache then fail
// with EIO.
TEST_F(CopyUpFails, WhereTheDiskBreaks) {
  std::string config = "name = \"disk\"\nrules = \"1 none\"\nstate = \"" + Base("disk-state") + "\"\n[tier]\n";
  for (int tier = 1; tier <= 4; ++tier) config += std::to_string(tier) + " = \"" + Base("disk-tier" + std::to_string(tier)) + "\"\n";
  WriteFile(Base("disk.toml"), config);
  MakeDirs(Base("disk"));
  ASSERT_EQ(Execute({TIERCTL_BINARY, "init", Base("disk.toml")}).code, 0);
  ASSERT_EQ(Execute({TIERFS_BINARY, Base("disk.toml"), Base("disk"), "-o", "passthrough=no"}).code, 0);
  const std::string image = Base("disk/image");
  ASSERT_EQ(Shell("truncate -s 64M " + image + " && mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0 " + image).code, 0);
  const std::string disk = MountAt({"-o", "loop", image});
  // Hide the mount. mkfs.btrfs and mount look up the backing file of every loop device, and fail if
  // it is on a dead mount.
  ASSERT_EQ(::umount2(Base("disk").c_str(), MNT_DETACH), 0) << std::strerror(errno);
  SetUpOn(disk);
  ASSERT_EQ(Execute({"sync", "-f", disk}).code, 0);
  const auto status = AskDaemon(Base("disk-state"), {{"verb", "status"}});
  ASSERT_TRUE(status);
  ASSERT_EQ(::kill(status->value("pid", 0), SIGKILL), 0);
  ExpectFailure(EIO);
  EXPECT_EQ(ReadFile(Mnt("etc/file")), content());
  SkipKernelComparison();
}

// A lower layer with a bad sector.
TEST_F(CopyUpFails, WhereTheLowerLayerCannotBeRead) {
  const std::string image = Base("image.btrfs");
  ASSERT_EQ(Shell("truncate -s 256M " + image + " && mkfs.btrfs -q -d single -m single " + image).code, 0);
  std::string disk = MountAt({"-o", "loop", image});
  MakeDirs(disk + "/etc");
  std::string content(kSize, 'G');
  content.replace(5500000, 16, "to be damaged on");
  WriteFile(disk + "/etc/file", content);
  ASSERT_EQ(UnmountWhenFree(disk), 0);
  // Damages the last megabyte of the file, wherever it is on the disk. The checksums of btrfs
  // detect it.
  const Ran damaged =
      Shell("at=$(grep -obUa 'to be damaged on' " + image + " | head -n1 | cut -d: -f1); [ -n \"$at\" ] && printf x | dd of=" + image +
            " bs=1 seek=$at conv=notrunc status=none");
  ASSERT_EQ(damaged.code, 0) << damaged.err;
  disk = MountAt({"-o", "loop,ro", image});
  UseLower(disk);
  SetPolicy("1 /etc/\n");
  ASSERT_TRUE(Mount()) << Refusal();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Errno(::open(Mnt("etc/file").c_str(), O_RDWR)), EIO);
    EXPECT_EQ(Errno(::chmod(Mnt("etc/file").c_str(), 0600)), EIO);
    EXPECT_EQ(Errno(::rename(Mnt("etc/file").c_str(), Mnt("file").c_str())), EIO);
    EXPECT_EQ(Stat(Mnt("etc/file")).st_size, static_cast<off_t>(kSize));
    EXPECT_EQ(TreesWith("etc/file"), std::set<int>{});
    EXPECT_FALSE(Exists(Mnt("file")));
    ExpectNoWorkFiles();
  }
  // The undamaged part can be read, and operations that need no data work.
  const UniqueFd fd(::open(Mnt("etc/file").c_str(), O_RDONLY));
  char byte = 0;
  EXPECT_EQ(::pread(fd.get(), &byte, 1, 0), 1) << std::strerror(errno);
  EXPECT_EQ(Errno(::pread(fd.get(), &byte, 1, 5500000)), EIO);
  WriteFile(Mnt("etc/file"), "new");
  EXPECT_EQ(ReadFile(Mnt("etc/file")), "new");
}

}  // namespace
}  // namespace tierfs::test
