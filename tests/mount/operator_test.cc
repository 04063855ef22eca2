// The messages to an operator when something changes under a mount: a tier deleted and made anew, a
// disk mounted over it or unmounted, a replaced state directory, a daemon that does not answer.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Operator : public OverlayTest {
 protected:
  static Ran Tierctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  // Expects that every verb that looks at the tiers names the replaced layer.
  void ExpectNamed(const std::string& what) {
    const Ran status = Tierctl({"status", ConfigFile()});
    EXPECT_EQ(status.code, 1) << status.out << status.err;
    EXPECT_NE(status.out.find("  problem      " + what), std::string::npos) << status.out;
    const Ran check = Tierctl({"check", "--json", Mnt()});
    EXPECT_EQ(check.code, 1) << check.err;
    const json findings = json::parse(check.out, nullptr, false)["findings"];
    ASSERT_EQ(findings.size(), 1U) << check.out;
    EXPECT_EQ(findings[0]["code"], "layer-replaced");
    EXPECT_EQ(findings[0]["what"].get<std::string>().find(what), 0U) << check.out;
    for (const char* verb : {"rescan", "verify", "settle", "changes", "reload", "sync"}) {
      const Ran ran = Tierctl({verb, ConfigFile()});
      EXPECT_EQ(ran.code, 3) << verb << ran.out;
      EXPECT_EQ(ran.err.find("tierctl: 'test': " + what), 0U) << verb << ": " << ran.err;
      EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    }
    MakeDirs(Base("copy"));
    const Ran backup = Tierctl({"backup", "rsync", ConfigFile(), Base("copy")});
    EXPECT_EQ(backup.code, 3) << backup.out;
    EXPECT_NE(backup.err.find(what), std::string::npos) << backup.err;
    SkipKernelComparison();
  }
};

TEST_F(Operator, ATierThatWasDeletedAndMadeAnewIsNamed) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(Tierctl({"status", ConfigFile()}).code, 0);
  ASSERT_EQ(Shell("rm -rf " + Tier(2) + " && mkdir " + Tier(2)).code, 0);
  EXPECT_EQ(Errno(::mkdir(Mnt("d").c_str(), 0755)), ENOENT);
  ExpectNamed("tier 2: the directory " + Tier(2) + " was deleted under the mount");
  // The cure that the line gives.
  Unmount();
  const Ran check = Tierctl({"check", ConfigFile()});
  EXPECT_EQ(check.code, 1);
  EXPECT_EQ(check.out.find("identity: "), 0U) << check.out;
  ASSERT_EQ(Tierctl({"init", "--adopt", ConfigFile()}).code, 0);
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Errno(::mkdir(Mnt("d").c_str(), 0755)), 0);
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).code, 0);
}

TEST_F(Operator, ATierThatWasMovedAwayIsNamed) {
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Shell("mv " + Tier(3) + " " + Base("elsewhere") + " && mkdir " + Tier(3)).code, 0);
  ExpectNamed("tier 3: the directory that the mount uses was moved from " + Tier(3) + " to " + Base("elsewhere"));
  ASSERT_EQ(Shell("rmdir " + Tier(3) + " && mv " + Base("elsewhere") + " " + Tier(3)).code, 0);
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).code, 0);
}

TEST_F(Operator, ADiskMountedOverATierIsNamed) {
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::mount("none", Tier(2).c_str(), "tmpfs", 0, nullptr), 0);
  ExpectNamed("tier 2: something is mounted over " + Tier(2));
  ASSERT_EQ(UnmountWhenFree(Tier(2)), 0);
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).code, 0);
}

TEST_F(Operator, ADiskUnmountedUnderATierIsNamed) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 32);
  UseTier(2, disk + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::umount2(disk.c_str(), MNT_DETACH), 0);
  MakeDirs(Tier(2));
  ExpectNamed("tier 2: the file system of " + Tier(2) + " was unmounted under the mount");
}

TEST_F(Operator, AReplacedLowerLayerIsNamed) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/file", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Shell("mv " + lower + " " + Base("old") + " && mkdir " + lower).code, 0);
  ExpectNamed("lower layer: the directory that the mount uses was moved from " + lower);
}

TEST_F(Operator, AConfigThatWasChangedUnderTheMountIsNamed) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string old = Tier(2);
  MakeDirs(Base("other"));
  UseTier(2, Base("other"));
  MountTest::WriteConfig();
  ExpectNamed("tier 2: the config names " + Base("other") + ", the mount still uses " + old);
}

// Any user who may read a directory can lock it.
TEST_F(Operator, ALockOfAnotherUserKeepsNoMountAway) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const int tier = ::open(Tier(2).c_str(), O_RDONLY | O_DIRECTORY);
    if (::setuid(65534) != 0 || ::flock(tier, LOCK_EX | LOCK_NB) != 0 || ::write(ready[1], "x", 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  EXPECT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_TRUE(Mount()) << Refusal();
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(Operator, AReplacedStateDirectoryIsNamedAndLetsNoSecondDaemonIn) {
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Shell("mv " + Base("state") + " " + Base("old") + " && mkdir " + Base("state")).code, 0);
  const Ran status = Tierctl({"status", Mnt()});
  EXPECT_EQ(status.code, 3);
  const std::string what = "mounted at " + Mnt() + ", but no daemon answers in " + Base("state");
  EXPECT_NE(status.out.find(what), std::string::npos) << status.out;
  const Ran rescan = Tierctl({"rescan", ConfigFile()});
  EXPECT_EQ(rescan.code, 3);
  EXPECT_NE(rescan.err.find(what), std::string::npos) << rescan.err;
  MakeDirs(Base("mnt2"));
  const std::string in_use = "tier 1: " + Tier(1) + " is locked by process ";
  const Ran second = Execute({TIERFS_BINARY, ConfigFile(), Base("mnt2")});
  EXPECT_EQ(second.code, 1);
  EXPECT_NE(second.err.find(in_use), std::string::npos) << second.err;
  const Ran check = Tierctl({"check", "--repair", ConfigFile()});
  EXPECT_EQ(check.code, 3);
  EXPECT_NE(check.err.find(in_use), std::string::npos) << check.err;
  ASSERT_EQ(Shell("rm -r " + Base("state") + " && mv " + Base("old") + " " + Base("state")).code, 0);
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).code, 0);
}

// `tierctl sync`: what it promised is on the disk at a power cut.
class Sync : public Operator {
 protected:
  // Mounts what has reached the disk by now. The disk is the only image of the test.
  std::string DiskAfterPowerCut() {
    const Ran copied = Shell("cp --sparse=always " + Base("image1") + " " + Base("cut"));
    EXPECT_EQ(copied.code, 0) << copied.err;
    return MountAt({"-o", "loop", Base("cut")});
  }
};

TEST_F(Sync, WrittenAndMappedPagesAreOnTheDisk) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 128);
  UseTier(2, disk + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  constexpr std::size_t kSize = 16U << 20;
  const UniqueFd file(::open(Mnt("mapped").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  ASSERT_EQ(::ftruncate(file.get(), kSize), 0);
  auto* pages = static_cast<char*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(pages, MAP_FAILED) << std::strerror(errno);
  const std::string written(kSize, 'w');
  for (const char content : {'1', '2'}) {
    std::memset(pages, content, kSize);
    WriteFile(Mnt("written"), written + content);
    const Ran ran = Tierctl({"sync", "--json", Mnt()});
    ASSERT_EQ(ran.code, 0) << ran.err;
    const json done = json::parse(ran.out, nullptr, false);
    EXPECT_EQ(done["mapped"], Passthrough() ? 0 : 1) << ran.out;
    EXPECT_EQ(done["file_systems"], (std::vector<std::string>{Tier(1), Tier(2)})) << "each once; the state is beside tier 1";
    const std::string cut = DiskAfterPowerCut();
    EXPECT_TRUE(ReadFile(cut + "/tree/mapped") == std::string(kSize, content));
    EXPECT_TRUE(ReadFile(cut + "/tree/written") == written + content);
    ASSERT_EQ(UnmountWhenFree(cut), 0);
  }
  ::munmap(pages, kSize);
}

TEST_F(Sync, WorksUnmountedAndReadOnly) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 64);
  UseTier(2, disk + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), std::string(1 << 20, 'a'));
  Unmount();
  const Ran ran = Tierctl({"sync", ConfigFile()});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "synced 2 file systems, 0 files that may be mapped\n");
  const std::string cut = DiskAfterPowerCut();
  EXPECT_TRUE(ReadFile(cut + "/tree/a") == std::string(1 << 20, 'a'));
  ASSERT_EQ(UnmountWhenFree(cut), 0);
  ASSERT_TRUE(Mount("ro")) << Refusal();
  ASSERT_EQ(Shell("mount -o remount,ro " + disk).code, 0);
  EXPECT_EQ(Tierctl({"sync", Mnt()}).code, 0);
  ASSERT_EQ(Shell("mount -o remount,rw " + disk).code, 0);
}

TEST_F(Sync, ADiskThatFailsIsNamedInOneLine) {
  const std::string disk = MakeFileSystem(FileSystem::kExt4, 64);
  UseTier(3, disk + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a.tmp"), "a");
  for (const bool mounted : {true, false}) {
    if (mounted) {
      ASSERT_EQ(Execute({"xfs_io", "-x", "-c", "shutdown", disk}).code, 0);
    }
    const Ran ran = Tierctl({"sync", ConfigFile()});
    EXPECT_EQ(ran.code, 3) << ran.out;
    EXPECT_NE(ran.err.find(Tier(3) + ": "), std::string::npos) << ran.err;
    EXPECT_NE(ran.err.find("Input/output error"), std::string::npos) << ran.err;
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    if (mounted) Unmount();
  }
  SkipKernelComparison();
}

// The daemon is stopped by SIGSTOP, and goes on with the test's end.
class StoppedDaemon : public Operator {
 protected:
  void Stop() {
    pid_ = DaemonPid();
    ASSERT_GT(pid_, 0);
    ASSERT_EQ(::kill(pid_, SIGSTOP), 0);
    // A thread that has not stopped yet may still take a request.
    const std::string running = "grep -L '^State:.T' /proc/" + std::to_string(pid_) + "/task/*/status";
    for (int i = 0; i < 1000 && !Shell(running).out.empty(); ++i) ::usleep(5000);
    ASSERT_EQ(Shell(running).out, "");
  }
  void GoOn() {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
    pid_ = 0;
  }
  void TearDown() override {
    GoOn();
    OverlayTest::TearDown();
  }
  int pid_ = 0;
};

TEST_F(StoppedDaemon, IsNamedAfterASecondAndTheNextMountIsShown) {
  ASSERT_TRUE(Mount()) << Refusal();
  Stop();
  const std::string line = "the daemon, process " + std::to_string(pid_) + ", is stopped; `kill -CONT ";
  const auto start = std::chrono::steady_clock::now();
  // The mountpoint is named twice: as a path of the mount, it must not be touched.
  const Ran status = Tierctl({"status", Mnt(), ConfigFile()});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(6));
  EXPECT_EQ(status.code, 3) << status.err;
  const std::size_t first = status.out.find(line);
  ASSERT_NE(first, std::string::npos) << status.out;
  EXPECT_NE(status.out.find(line, first + 1), std::string::npos) << "the second one was not shown: " << status.out;
  EXPECT_NE(status.out.find(Tier(4)), std::string::npos) << status.out;
  for (const char* verb : {"rescan", "reload", "settle", "changes", "check", "verify", "sync"}) {
    const auto begin = std::chrono::steady_clock::now();
    const Ran ran = Tierctl({verb, Mnt()});
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4)) << verb;
    EXPECT_EQ(ran.code, 3) << verb << ran.out;
    EXPECT_NE(ran.err.find(line), std::string::npos) << verb << ran.err;
  }
  GoOn();
  EXPECT_EQ(Tierctl({"status", ConfigFile()}).code, 0);
}

// The kernel waits for a request that is in the daemon's ring without interruption.
TEST_F(StoppedDaemon, ItsCallersCanBeKilledOverDevFuseAndGoOnWithIt) {
  ASSERT_TRUE(Mount()) << Refusal();
  const bool ring = Status()["daemon"]["transport"] == "io_uring";
  Stop();
  const pid_t caller = ::fork();
  if (caller == 0) {
    (void)Errno(::mkdir(Mnt("d").c_str(), 0755));
    ::_exit(0);
  }
  ::usleep(300'000);
  ::kill(caller, SIGKILL);
  const auto ended = [caller](int seconds) {
    for (int i = 0; i < seconds * 200; ++i, ::usleep(5000)) {
      if (::waitpid(caller, nullptr, WNOHANG) == caller) return true;
    }
    return false;
  };
  const bool killed = ended(ring ? 1 : 30);
  EXPECT_EQ(killed, !ring);
  GoOn();
  if (!killed) {
    EXPECT_TRUE(ended(30));
  }
}

}  // namespace
}  // namespace tierfs::test
