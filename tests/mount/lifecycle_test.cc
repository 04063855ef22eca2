// Mounting, unmounting, the usual mount options, a daemon that dies, and the state kept over a
// remount.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fs/os/mount_table.h"
#include "tests/mount/fixture.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Lifecycle : public MountTest {
 protected:
  // Repeats umount(8) while another process keeps the mount busy.
  [[nodiscard]] std::string UmountCommand() const { return "until umount " + Mnt() + " 2>/dev/null; do sleep 0.02; done"; }
};

TEST_F(Lifecycle, TheViewIsTheSameAfterARemount) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/a"), "one");
  WriteFile(Mnt("b"), "two");
  const ino_t a = Stat(Mnt("etc/a")).st_ino;
  const ino_t etc = Stat(Mnt("etc")).st_ino;
  Remount();
  EXPECT_EQ(ReadFile(Mnt("etc/a")), "one");
  EXPECT_EQ(ReadFile(Mnt("b")), "two");
  EXPECT_EQ(Stat(Mnt("etc/a")).st_ino, a);
  EXPECT_EQ(Stat(Mnt("etc")).st_ino, etc);
}

TEST_F(Lifecycle, TheMountAnswersWhenTheCommandReturnsAndTheDaemonEndsWithIt) {
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(Mount()) << Refusal();
    WriteFile(Mnt("round"), std::to_string(round));
    Unmount();  // fails if the daemon stays
  }
  EXPECT_EQ(ReadFile(Tier(2, "round")), "9");
}

TEST_F(Lifecycle, WrittenDataSurvivesSigkill) {
  ASSERT_TRUE(Mount()) << Refusal();
  const int fd = ::open(Mnt("data").c_str(), O_WRONLY | O_CREAT, 0644);
  ASSERT_EQ(::write(fd, "acknowledged", 12), 12);
  ASSERT_EQ(::fsync(fd), 0);
  KillDaemon();
  ::close(fd);
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("data")), "acknowledged");
}

TEST_F(Lifecycle, TheFileSizeLimitOfTheShellThatMountedDoesNotBindTheDaemon) {
  constexpr off_t kLarge = 4 << 20;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{kLarge / 2, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const bool mounted = Mount();
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_TRUE(mounted) << Refusal();
  WriteFile(Mnt("written"), std::string(kLarge, 'x'));
  WriteFile(Mnt("extended"), "");
  EXPECT_EQ(Errno(::truncate(Mnt("extended").c_str(), kLarge)), 0);
  EXPECT_EQ(Stat(Mnt("written")).st_size, kLarge);
  EXPECT_EQ(Stat(Mnt("extended")).st_size, kLarge);
}

TEST_F(Lifecycle, ADeadMountIsReportedAsSuch) {
  ASSERT_TRUE(Mount()) << Refusal();
  const int pid = DaemonPid();
  Stat(Mnt());  // makes the kernel remember the mount
  ::kill(pid, SIGKILL);
  for (int i = 0; i < 500 && Errno(::access(Mnt("x").c_str(), F_OK)) != ENOTCONN; ++i) ::usleep(10000);
  const Ran ran = Execute({TIERFS_BINARY, ConfigFile(), Mnt()});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find("has died; umount " + Mnt() + " first"), std::string::npos) << ran.err;
  ASSERT_EQ(UnmountWhenFree(Mnt()), 0);
  ASSERT_TRUE(Mount()) << Refusal();
}

TEST_F(Lifecycle, SigtermUnmountsInOrder) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  ::kill(DaemonPid(), SIGTERM);
  const auto is_mounted = [this] {
    const auto mounts = TierfsMounts();
    return std::any_of(mounts.begin(), mounts.end(), [this](const MountedFs& each) { return each.mountpoint == Mnt(); });
  };
  for (int i = 0; i < 500 && is_mounted(); ++i) ::usleep(10000);
  EXPECT_FALSE(Exists(Mnt("a")));
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
}

TEST_F(Lifecycle, AReadOnlyMountRefusesWrites) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  Remount("ro");
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  EXPECT_EQ(Errno(::open(Mnt("a").c_str(), O_WRONLY)), EROFS);
  EXPECT_EQ(Errno(::unlink(Mnt("a").c_str())), EROFS);
  EXPECT_EQ(Errno(::mkdir(Mnt("d").c_str(), 0755)), EROFS);
}

TEST_F(Lifecycle, RemountReadOnlyAndBack) {
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(Execute({TIERFS_BINARY, ConfigFile(), Mnt(), "-o", "remount,ro"}).code, 0);
  EXPECT_EQ(Errno(::mkdir(Mnt("d").c_str(), 0755)), EROFS);
  ASSERT_EQ(Execute({TIERFS_BINARY, ConfigFile(), Mnt(), "-o", "remount,rw"}).code, 0);
  EXPECT_EQ(Errno(::mkdir(Mnt("d").c_str(), 0755)), 0);
}

TEST_F(Lifecycle, NoexecNosuidNodevAndNoatimeApply) {
  ASSERT_TRUE(Mount("noexec,nosuid,nodev,noatime,nofail,x-systemd.automount")) << Refusal();
  struct statvfs st {};
  ASSERT_EQ(::statvfs(Mnt().c_str(), &st), 0);
  EXPECT_TRUE(st.f_flag & ST_NOEXEC);
  EXPECT_TRUE(st.f_flag & ST_NOSUID);
  EXPECT_TRUE(st.f_flag & ST_NODEV);
  WriteFile(Mnt("script"), "#!/bin/sh\n");
  ASSERT_EQ(::chmod(Mnt("script").c_str(), 0755), 0);
  EXPECT_EQ(Shell(Mnt("script")).code, 126);
  ASSERT_EQ(Shell("touch -a -d '2001-01-01' " + Mnt("script")).code, 0);
  ReadFile(Mnt("script"));
  EXPECT_EQ(Stat(Tier(2, "script")).st_atim.tv_sec, Stat(Mnt("script")).st_atim.tv_sec);
  EXPECT_LT(Stat(Tier(2, "script")).st_atim.tv_sec, 1'000'000'000);
}

TEST_F(Lifecycle, OtherUsersMayUseTheMount) {
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::chmod(Mnt().c_str(), 0777), 0);
  EXPECT_TRUE(As(65534, 65534, {}, [this] { return ::mkdir(Mnt("theirs").c_str(), 0700) == 0; }));
  EXPECT_EQ(Stat(Mnt("theirs")).st_uid, 65534U);
}

TEST_F(Lifecycle, ForegroundLogsToStderr) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  const Ran ran = Shell(std::string("(") + TIERFS_BINARY + " -f " + ConfigFile() + " " + Mnt() + " 2>" + Base("log") +
                        " & echo $!; for i in $(seq 500); do grep -q mounted " + Base("log") + " && break; sleep 0.02; done; " +
                        UmountCommand() + "; wait)");
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_NE(ReadFile(Base("log")).find("test mounted at " + Mnt()), std::string::npos);
}

TEST_F(Lifecycle, OperationsAreLoggedOnlyOnRequest) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  const auto log_at = [this](const std::string& level) {
    const Ran ran = Shell(std::string(TIERFS_BINARY) + " -f " + ConfigFile() + " " + Mnt() + " -o log=" + level + " 2>" + Base("log") +
                          " & for i in $(seq 500); do grep -q tierfs /proc/self/mounts && mountpoint -q " + Mnt() +
                          " && break; sleep 0.02; done; cat " + Mnt("none") + " 2>/dev/null; rmdir " + Mnt("gone") +
                          " 2>/dev/null; setfattr -n user.tierfs.x -v 1 " + Mnt() + " 2>/dev/null; " + UmountCommand() + "; wait");
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ReadFile(Base("log"));
  };
  EXPECT_EQ(log_at("error"), "");
  const std::string info = log_at("info");
  EXPECT_NE(info.find("mounted at"), std::string::npos) << info;
  EXPECT_EQ(info.find("setxattr"), std::string::npos) << info;
  const std::string debug = log_at("debug");
  EXPECT_NE(debug.find("setxattr: Operation not permitted"), std::string::npos) << debug;
}

// A program with a timer, or any program in Go, gets signals all the time. The daemon refuses
// interrupts. libfuse would keep them in memory while requests come over io_uring; AddressSanitizer
// finds those at the end.
TEST_F(Lifecycle, SignalsToAProgramThatWaitsLeaveNothingInTheDaemon) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  const char* signalled =
      "import os, signal\n"
      "signal.signal(signal.SIGALRM, lambda *ignored: None)\n"
      "signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)\n"
      "for i in range(2000): os.listxattr('.')\n";
  WriteFile(Base("signalled.py"), signalled);
  const Ran ran = Shell(std::string(TIERFS_BINARY) + " -d " + ConfigFile() + " " + Mnt() + " 2>" + Base("log") +
                        " & for i in $(seq 500); do mountpoint -q " + Mnt() + " && break; sleep 0.02; done; cd " + Mnt() +
                        " && for i in 1 2 3 4; do python3 " + Base("signalled.py") +
                        " & done; wait -n; wait -n; wait -n; wait -n; cd / && " + UmountCommand() + "; wait");
  EXPECT_EQ(ran.code, 0) << ran.err;
  const std::string log = ReadFile(Base("log"));
  const auto count = [&log](const std::string& opcode) {
    std::size_t found = 0;
    for (std::size_t at = 0; (at = log.find("opcode: " + opcode + " ", at)) != std::string::npos; ++at) ++found;
    return found;
  };
  EXPECT_GE(count("LISTXATTR"), 8000U);
  EXPECT_GE(count("INTERRUPT"), 1U);
  EXPECT_EQ(log.find("\nINTERRUPT: "), std::string::npos) << "an interrupt was taken up";
}

TEST_F(Lifecycle, PassthroughIsOnUnlessSwitchedOff) {
  ASSERT_TRUE(Mount("passthrough=no")) << Refusal();
  EXPECT_FALSE(Passthrough());
  Remount("passthrough=yes");
  EXPECT_TRUE(Passthrough());
}

TEST_F(Lifecycle, ChangesUnderneathShowWithinTheTimeoutAndAtOnceAfterARescan) {
  AddToConfig("cache_timeout = 1");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_FALSE(Exists(Mnt("restored")));
  WriteFile(Tier(2, "restored"), "r");
  ::usleep(1'200'000);
  EXPECT_EQ(ReadFile(Mnt("restored")), "r");
  EXPECT_TRUE(Names(Mnt()).count("restored"));
  WriteFile(Tier(2, "second"), "s");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
  EXPECT_EQ(ReadFile(Mnt("second")), "s");
  ASSERT_EQ(::unlink(Tier(2, "second").c_str()), 0);
  ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", Mnt()}).code, 0);
  EXPECT_FALSE(Exists(Mnt("second")));
}

TEST_F(Lifecycle, AReloadRefusesABrokenPolicyAndKeepsTheOldOne) {
  ASSERT_TRUE(Mount()) << Refusal();
  SetPolicy("1 /etc/\n8 /usr/\n");
  const Ran ran = Execute({TIERCTL_BINARY, "reload", ConfigFile()});
  EXPECT_EQ(ran.code, 3);
  EXPECT_NE(ran.err.find("test.tiers:2:"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("the old policy stays"), std::string::npos) << ran.err;
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/a"), "a");
  EXPECT_EQ(TierOf("usr/a"), 4);
  SetPolicy("3 /usr/\n");
  EXPECT_EQ(Execute({TIERCTL_BINARY, "reload", "-n", ConfigFile()}).code, 0);
  WriteFile(Mnt("usr/b"), "b");
  EXPECT_EQ(TierOf("usr/b"), 4) << "-n changes nothing";
  EXPECT_EQ(Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code, 0);
  WriteFile(Mnt("usr/c"), "c");
  EXPECT_EQ(TierOf("usr/c"), 3);
}

TEST_F(Lifecycle, SighupReloadsThePolicyAndABrokenOneIsLogged) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  // In the foreground, to see the log.
  const Ran started = Shell(std::string(TIERFS_BINARY) + " -f " + ConfigFile() + " " + Mnt() + " -o passthrough=no 2>" + Base("log") +
                            " & echo $!; for i in $(seq 500); do grep -q mounted " + Base("log") + " && break; sleep 0.02; done");
  const int pid = std::stoi(started.out);
  ASSERT_EQ(DaemonPid(), pid);
  const auto logs = [this](const std::string& line) {
    for (int i = 0; i < 500 && ReadFile(Base("log")).find(line) == std::string::npos; ++i) ::usleep(10000);
    return ReadFile(Base("log")).find(line) != std::string::npos;
  };
  SetPolicy("3 /usr/\n");
  ASSERT_EQ(::kill(pid, SIGHUP), 0);
  EXPECT_TRUE(logs("policy reloaded, 1 rules")) << ReadFile(Base("log"));
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/a"), "a");
  EXPECT_EQ(TierOf("usr/a"), 3);
  SetPolicy("8 /usr/\n");
  ASSERT_EQ(::kill(pid, SIGHUP), 0);
  EXPECT_TRUE(logs("SIGHUP: " + PolicyFile() + ":1:")) << ReadFile(Base("log"));
  EXPECT_TRUE(logs("the old policy stays"));
  WriteFile(Mnt("usr/b"), "b");
  EXPECT_EQ(TierOf("usr/b"), 3);
  ASSERT_EQ(::kill(pid, SIGTERM), 0);
  EXPECT_TRUE(logs("test unmounted")) << ReadFile(Base("log"));
}

TEST_F(Lifecycle, SighupReloadsInTheBackgroundToo) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  SetPolicy("3 /usr/\n");
  ASSERT_EQ(::kill(DaemonPid(), SIGHUP), 0);
  const auto rules = [this] { return json::parse(Execute({TIERCTL_BINARY, "status", "--json", ConfigFile()}).out)[0]["daemon"]["rules"]; };
  for (int i = 0; i < 200 && rules() != 1; ++i) ::usleep(10000);
  WriteFile(Mnt("usr/a"), "a");
  EXPECT_EQ(TierOf("usr/a"), 3);
}

}  // namespace
}  // namespace tierfs::test
