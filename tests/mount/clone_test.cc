// Clones of a mount: what a command sees in one, and that nothing it does gets out.
#include "fs/jobs/clone/clone.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "fs/config/config.h"
#include "fs/jobs/clone/tree_state.h"
#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using clone::Ended;
using clone::Layer;
using std::chrono::milliseconds;

// What a directory holds, without what a clone may show otherwise: times, and the sizes of
// directories.
constexpr const char* kManifest =
    "find . -mindepth 1 \\( -type f -printf '%p %m %U:%G %s\\n' -o -printf '%p %y %m %U:%G %l\\n' \\) | sort;"
    "find . -type f -print0 | sort -z | xargs -0 -r sha256sum;"
    "find . -print0 | sort -z | xargs -0 -r getfattr -h -d -m '^user\\.' -e hex";

class Clone : public OverlayTest {
 protected:
  struct Result {
    Ended ended;
    std::string out;
    std::string error;
  };

  [[nodiscard]] Config ReadConfig() const {
    auto config = LoadConfig(ConfigFile());
    EXPECT_TRUE(config) << config.error().Render();
    return config ? *config : Config();
  }
  [[nodiscard]] clone::Request For(const std::string& line) const {
    clone::Request request;
    request.layers = clone::LayersOf(ReadConfig());
    request.command = {"/bin/sh", "-c", line};
    return request;
  }
  Result Run(clone::Request request) const {
    Result result;
    request.output = [&result](std::string_view bytes) { result.out += bytes; };
    const auto ended = clone::Run(ReadConfig(), request);
    if (ended) result.ended = *ended;
    if (!ended) result.error = ended.error();
    return result;
  }
  Result Run(const std::string& line) const { return Run(For(line)); }
  // Expects that the command succeeds, and returns its output.
  std::string Out(const clone::Request& request) const {
    const Result result = Run(request);
    EXPECT_EQ(result.error, "");
    EXPECT_EQ(result.ended.how, Ended::How::kExited) << result.out;
    EXPECT_EQ(result.ended.code, 0) << result.out;
    return result.out;
  }
  std::string Out(const std::string& line) const { return Out(For(line)); }
  [[nodiscard]] std::string LiveManifest() const { return Shell("cd '" + Mnt() + "' && (" + kManifest + ") 2>&1").out; }

  // The state of everything that belongs to the mount.
  [[nodiscard]] std::string Hashes() const {
    std::string all;
    std::vector<std::string> trees = lowers();
    for (int tier = 1; tier <= 4; ++tier) trees.push_back(Tier(tier));
    for (const std::string& tree : trees) {
      const auto state = clone::TreeState::Read(tree, false);
      all += (state ? state->hash() : "unreadable") + "\n";
    }
    return all;
  }
  static bool IsRunning(const std::string& argument) {
    return Shell("pgrep -f '[" + argument.substr(0, 1) + "]" + argument.substr(1) + "'").code == 0;
  }
  static bool Soon(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) ::usleep(20'000);
    return condition();
  }
  // A number of seconds that no other process on this machine sleeps.
  [[nodiscard]] static std::string OwnSleep() { return "98" + std::to_string(::getpid()); }
};

TEST_F(Clone, ShowsTheMount) {
  const std::string upper = AddLower("a");
  const std::string lower = AddLower("b");
  UseOver();
  MakeDirs(upper + "/usr/share");
  MakeDirs(lower + "/usr/share");
  WriteFile(upper + "/usr/share/one", "1");
  WriteFile(lower + "/usr/share/two", "2");
  WriteFile(lower + "/usr/share/removed", "x");
  WriteFile(lower + "/hidden", "x");
  WriteFile(Mnt("beneath"), "over");
  WriteFile(Mnt("beneath-removed"), "over");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  MakeDirs(Mnt("var/cache"));
  WriteFile(Mnt("etc/conf"), "a");
  WriteFile(Mnt("var/cache/c"), "b");
  WriteFile(Mnt("data \xff\n"), "d");
  WriteFile(Mnt("usr/share/one"), "changed");
  WriteFile(Mnt("hidden"), "again");
  ASSERT_EQ(::symlink("etc/conf", Mnt("link").c_str()), 0);
  for (const char* name : {"usr/share/removed", "beneath-removed"}) ASSERT_EQ(::unlink(Mnt(name).c_str()), 0);
  ASSERT_EQ(::chown(Mnt("etc").c_str(), 7, 8), 0);
  ASSERT_EQ(::setxattr(Mnt("etc/conf").c_str(), "user.x", "y", 1, 0), 0);
  ASSERT_EQ(::chmod(Mnt().c_str(), 0711), 0);
  EXPECT_EQ(Out(kManifest), LiveManifest());
  EXPECT_EQ(Out("pwd; stat -c %a ."), Mnt() + "\n711\n");
  EXPECT_EQ(Out("cat beneath"), "over");
  Unmount();
  EXPECT_EQ(Run("true").error, "not mounted, and " + ConfigFile() + " has no `mountpoint`: mount it first");
}

TEST_F(Clone, LayersCanBeReplaced) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  MakeDirs(Mnt("var/cache"));
  WriteFile(Mnt("etc/conf"), "live");
  WriteFile(Mnt("var/cache/c"), "live");
  WriteFile(Mnt("data"), "live");
  MakeDirs(Base("other/usr"));
  WriteFile(Base("other/usr/new"), "other");
  MakeDirs(Base("image"));
  WriteFile(Base("image/file"), "image");
  clone::Request request = For("cat etc/conf usr/new file data; ls -A var 2>/dev/null; stat -c %U:%a .");
  request.layers.tiers[0] = Layer::Made([](int directory) -> clone::Outcome<void> {
    EXPECT_EQ(::fchmod(directory, 0751), 0);
    EXPECT_EQ(::mkdirat(directory, "etc", 0755), 0);
    const UniqueFd file(::openat(directory, "etc/conf", O_WRONLY | O_CREAT, 0644));
    EXPECT_EQ(::write(file.get(), "made ", 5), 5);
    return {};
  });
  request.layers.tiers[2] = Layer::Empty();
  request.layers.tiers[3] = Layer::Of(Base("other"));
  request.layers.lower = {Base("image")};
  EXPECT_EQ(Out(request), "made otherimageliveroot:751\n");
  // A layer that cannot be made is the caller's affair; nothing is run.
  request.layers.tiers[0] = Layer::Made([](int) -> clone::Outcome<void> { return tl::unexpected(std::string("no such commit")); });
  EXPECT_EQ(Run(request).error, "no such commit");
  request.layers.tiers[0] = Layer::Of(Base("absent"));
  EXPECT_EQ(Run(request).error, "tier 1 at " + Base("absent") + ": No such file or directory");
  // Nothing at all.
  for (Layer& tier : request.layers.tiers) tier = Layer::Empty();
  request.layers.lower.clear();
  request.command = {"ls", "-A"};
  EXPECT_EQ(Out(request), "");
}

TEST_F(Clone, WorksWithAnyPathAndFileSystem) {
  const std::string odd = Base("a:b,c\\d 'e\"\xff\n");
  MakeDirs(odd + "/1");
  MakeDirs(odd + "/lower");
  UseTier(1, MakeFileSystem(FileSystem::kTmpfs, 8) + "/tree");
  UseTier(2, MakeFileSystem(FileSystem::kExt4, 16) + "/tree");
  UseTier(4, Base("p:q,r s"));
  WriteFile(odd + "/lower/odd", "odd");
  for (const char* layer : {"k1", "k2"}) MakeDirs(Base(layer));
  WriteFile(Base("k2/stacked"), "s");
  UseLower(MountKernelOverlay({Base("k1"), Base("k2")}));
  MakeDirs(Base("x:y,z"));
  UseLower(Base("x:y,z"));
  WriteFile(Base("x:y,z/low"), "low");
  SkipKernelComparison();
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("etc/conf"), "1");
  WriteFile(Mnt("data"), "2");
  WriteFile(Mnt("usr/bin"), "4");
  EXPECT_EQ(Out("cat etc/conf data usr/bin low stacked"), "124lows");
  clone::Request request = For("cat odd");
  request.layers.lower = {odd + "/lower"};
  EXPECT_EQ(Out(request), "odd");
}

TEST_F(Clone, ShowsSixtyLowerLayers) {
  for (int i = 0; i < 60; ++i)
    WriteFile(AddLower("layer-with-a-rather-long-name-number-" + std::to_string(i)) + "/f" + std::to_string(i), "x");
  SkipKernelComparison();  // mount(8) has no room for these names
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Out("ls | wc -l"), "60\n");
}

TEST_F(Clone, WhatACommandChangesIsThrownAway) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/usr/dir");
  WriteFile(lower + "/usr/dir/file", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("etc/conf"), "live");
  WriteFile(Mnt("data"), "live");
  const std::string before = Hashes();
  EXPECT_EQ(Out("echo new >etc/conf; mv usr/dir usr/moved && cat usr/moved/file && ln data data2 && chmod 600 data && sync -f . &&"
                " setfattr -n user.a -v b data && stat -c %a%h data2"),
            "x6002\n");
  EXPECT_EQ(Out("rm -rf -- * .[!.]*; ls -A"), "");
  EXPECT_EQ(Hashes(), before);
  EXPECT_EQ(ReadFile(Mnt("etc/conf")), "live");
  EXPECT_EQ(ReadFile(Mnt("data")), "live");
}

// A command knows where the trees are, and is root.
TEST_F(Clone, ACommandCannotReachTheTrees) {
  const std::string lower = AddLower("lower");
  UseOver();
  WriteFile(lower + "/low", "x");
  WriteFile(Mnt("beneath"), "x");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("data"), "live");
  const std::string before = Hashes();
  for (int tier = 1; tier <= 4; ++tier) EXPECT_NE(Out("touch " + Tier(tier) + "/x 2>&1; true").find("Read-only"), std::string::npos);
  EXPECT_NE(Out("rm " + lower + "/low 2>&1; true").find("Read-only"), std::string::npos);
  EXPECT_NE(Out("chmod 0 " + Tier(2) + "/data 2>&1; true").find("Read-only"), std::string::npos);
  EXPECT_NE(Run("mv " + Tier(2) + " " + Base("moved")).ended.code, 0);
  EXPECT_NE(Run("umount " + Mnt()).ended.code, 0);
  EXPECT_NE(Run("umount " + Tier(2)).ended.code, 0);
  EXPECT_NE(Run("mount -o remount,rw " + Tier(2)).ended.code, 0);
  EXPECT_NE(Run("mount -t tmpfs none /tmp").ended.code, 0);
  EXPECT_NE(Run("unshare --mount umount " + Tier(2)).ended.code, 0);
  EXPECT_NE(Run("unshare --user --map-root-user --mount umount " + Tier(2)).ended.code, 0);
  EXPECT_NE(Run("unshare --user --map-root-user --mount mount -o remount,rw,bind " + Tier(2)).ended.code, 0);
  // Nor the daemon.
  EXPECT_EQ(Out("ls -A " + Base("state")), "");
  EXPECT_EQ(Run(std::string(TIERCTL_BINARY) + " settle " + ConfigFile()).ended.code, 3);
  EXPECT_EQ(Hashes(), before);
  EXPECT_TRUE(Exists(Mnt("beneath")));
  EXPECT_EQ(ReadFile(Mnt("data")), "live");
}

// Links in /proc open a file anew, on the mount that its descriptor is on.
TEST_F(Clone, NoDescriptorLeadsToTheTrees) {
  UseOver();
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("data"), "live");
  MakeDirs(Base("disk"));
  const UniqueFd left_open(::open(Tier(2).c_str(), O_RDONLY | O_DIRECTORY));  // by the caller
  const std::string before = Hashes();
  clone::Request request =
      For("for p in 1 self $$; do for f in /proc/$p/fd/* /proc/$p/cwd /proc/$p/root/" + Tier(1) + " /proc/$p/root/" + Tier(2) + "; do" +
          " [ -d $f ] && echo x >$f/ESCAPED && echo $(readlink -f $f); done; done 2>/dev/null; ls -l /proc/1/fd/ 2>&1");
  request.space_directory = Base("disk");
  const std::string escaped = Run(request).out;
  EXPECT_NE(escaped.find("Permission denied"), std::string::npos) << escaped;
  EXPECT_EQ(escaped.find(Base("tier")), std::string::npos) << escaped;
  EXPECT_EQ(Hashes(), before);
  EXPECT_EQ(Names(Base("mnt")), std::set<std::string>{"data"});
  // Nor is there one for a command that could look.
  const pid_t runner = ::fork();
  if (runner == 0) {
    request.command = {"/bin/sh", "-c", "touch " + Base("ready") + "; sleep 100"};
    (void)Run(request);
    ::_exit(0);
  }
  ASSERT_TRUE(Soon([this] { return Exists(Base("ready")); }));
  const std::string first = "$(pgrep -P " + std::to_string(runner) + ")";
  const std::string open = Shell("for f in /proc/" + first + "/fd/*; do [ ${f##*/} -le 2 ] || readlink $f; done").out;
  EXPECT_NE(open.find("socket:"), std::string::npos) << open;
  EXPECT_EQ(open.find('/'), std::string::npos) << open;
  const std::string rights = Shell("awk '/^CapEff|^CapPrm|^CapBnd/ {print $2}' /proc/" + first + "/status | sort -u").out;
  EXPECT_EQ(rights, Out("awk '/^CapEff|^CapPrm|^CapBnd/ {print $2}' /proc/self/status | sort -u"));
  ::kill(runner, SIGKILL);
  ::waitpid(runner, nullptr, 0);
}

TEST_F(Clone, TheCommandIsRootWithoutTheRightsThatLeadOut) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Base("proc"));
  ASSERT_EQ(::mount("proc", Base("proc").c_str(), "proc", 0, nullptr), 0);
  EXPECT_EQ(Out("ls " + Base("proc")), "") << "the machine's processes and their roots";
  ASSERT_EQ(::umount2(Base("proc").c_str(), MNT_DETACH), 0);
  EXPECT_NE(Run("mknod disk b 8 0").ended.code, 0);
  EXPECT_EQ(Out("mkfifo pipe && touch f && chown 7:8 f && chmod 4755 f && su -s /bin/sh nobody -c 'id -un'"), "nobody\n");
  EXPECT_EQ(Out("sleep 100 & [ $(readlink /proc/$!/exe) ] && echo own processes"), "own processes\n");
  const std::uint64_t bounding = std::stoull(Out("awk '/^CapBnd/ {print $2}' /proc/self/status"), nullptr, 16);
  for (const int right : {CAP_SYS_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_MKNOD, CAP_SYS_RAWIO, CAP_SYS_MODULE, CAP_SYS_BOOT}) {
    EXPECT_EQ(bounding >> right & 1, 0U) << right;
  }
}

// systemctl and docker would act on the live mount.
TEST_F(Clone, TheMachinesServicesAreOutOfReach) {
  ASSERT_TRUE(Mount()) << Refusal();
  const pid_t runner = ::fork();
  if (runner == 0) {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) ::_exit(1);
    if (::mount("none", "/run", "tmpfs", 0, nullptr) != 0) ::_exit(2);
    for (const char* directory : {"/run/systemd", "/run/dbus", "/run/containerd"}) MakeDirs(directory);
    for (const char* socket : {"systemd/private", "dbus/system_bus_socket", "docker.sock", "containerd/containerd.sock"}) {
      if (::mknod((std::string("/run/") + socket).c_str(), S_IFSOCK | 0600, 0) != 0) ::_exit(3);
    }
    clone::Request request = For("find /run -type s -exec test -S {} \\; -print; echo x >/run/docker.sock");
    EXPECT_EQ(Run(request).out, "/bin/sh: 1: cannot create /run/docker.sock: Read-only file system\n");
    if (HasFailure()) ::_exit(4);
    request = For("find /run -type s | wc -l");
    request.network = true;
    ::_exit(Run(request).out == "4\n" ? 0 : 5);
  }
  int status = 0;
  ::waitpid(runner, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(WIFEXITED(status));
}

TEST_F(Clone, NothingOutlivesTheCommand) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string sleep = "sleep " + OwnSleep();
  // Daemons in sessions of their own, which ignore SIGTERM and hold the output.
  EXPECT_EQ(Out("for i in 1 2 3 4 5; do setsid sh -c \"trap '' TERM HUP INT; " + sleep + " & " + sleep + "\" & done; sleep 0.2; echo done"),
            "done\n");
  EXPECT_FALSE(IsRunning(sleep));
  // A script that ends its process group does not end its caller.
  EXPECT_EQ(Run("trap '' TERM; kill 0; exit 3").ended.code, 3);
  EXPECT_EQ(Run("kill -9 1; kill -9 -1; exit 4").ended.code, 4) << "process 1 of the clone is out of reach";
  EXPECT_EQ(Run("kill -SEGV $$").ended.how, Ended::How::kSignalled);
  EXPECT_EQ(Run("exec /nonexistent").ended.code, 127);
  EXPECT_EQ(Out("ipcmk -M 4096 >/dev/null && ipcs -m | grep -c 4096"), "1\n");
  EXPECT_EQ(Out("ipcs -m | grep -c ' 4096 ' || true"), "0\n");
}

TEST_F(Clone, ATimeLimitEndsEverything) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string sleep = "sleep " + OwnSleep();
  clone::Request request = For("setsid " + sleep + " & trap '' TERM; while :; do " + sleep + " & done");
  request.time_limit = milliseconds(300);
  EXPECT_EQ(Run(request).ended.how, Ended::How::kTimedOut);
  EXPECT_FALSE(IsRunning(sleep));
  // A command that ends at SIGTERM is not waited for any longer.
  request = For("trap 'echo asked; exit 0' TERM; " + sleep + " & wait");
  request.time_limit = milliseconds(300);
  const Result result = Run(request);
  EXPECT_EQ(result.ended.how, Ended::How::kTimedOut);
  EXPECT_EQ(result.out, "asked\n");
  const std::atomic<bool> cancelled = true;
  request.cancelled = &cancelled;
  EXPECT_EQ(Run(request).ended.how, Ended::How::kCancelled);
  EXPECT_FALSE(IsRunning(sleep));
}

// Also while the live mount is unmounted and mounted again.
TEST_F(Clone, KeepsNoMountBusyAndStays) {
  MakeDirs(Base("shared"));
  ASSERT_EQ(::mount("none", Base("shared").c_str(), "tmpfs", 0, nullptr), 0);
  for (const unsigned long type : {MS_PRIVATE, MS_SHARED}) {
    ASSERT_EQ(::mount(nullptr, Base("shared").c_str(), nullptr, type, nullptr), 0);
    MakeDirs(Base("shared/disk"));
    ASSERT_EQ(::mount("none", Base("shared/disk").c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_TRUE(Mount()) << Refusal();
    WriteFile(Mnt("data"), "live");
    const pid_t runner = ::fork();
    if (runner == 0) {
      const Result result = Run("touch " + Base("ready") + "; while [ ! -e " + Base("go") +
                                " ]; do sleep 0.02; done; cat data; grep -c fuse /proc/self/mounts");
      ::_exit(result.out == "live0\n" && result.ended.code == 1 ? 0 : 1);
    }
    EXPECT_TRUE(Soon([this] { return Exists(Base("ready")); }));
    Unmount();  // the fixture waits for the end of the daemon
    EXPECT_EQ(UnmountWhenFree(Base("shared/disk")), 0);
    ASSERT_TRUE(Mount()) << Refusal();
    Unmount();
    WriteFile(Base("go"), "");
    int status = 0;
    ::waitpid(runner, &status, 0);
    EXPECT_EQ(status, 0);
    for (const char* file : {"ready", "go"}) ::unlink(Base(file).c_str());
  }
}

TEST_F(Clone, AKilledCallerLeavesNothing) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("data"), "live");
  const std::string mounts = ReadFile("/proc/self/mounts");
  const std::string sleep = "sleep " + OwnSleep();
  const pid_t runner = ::fork();
  if (runner == 0) {
    (void)Run("rm data; setsid " + sleep + " & trap '' TERM; touch " + Base("ready") + "; " + sleep);
    ::_exit(0);
  }
  ASSERT_TRUE(Soon([this] { return Exists(Base("ready")); }));
  EXPECT_TRUE(IsRunning(sleep));
  ::kill(runner, SIGKILL);
  ::waitpid(runner, nullptr, 0);
  EXPECT_TRUE(Soon([&sleep] { return !IsRunning(sleep); }));
  EXPECT_EQ(ReadFile(Mnt("data")), "live");
  EXPECT_EQ(Shell("grep -c '" + Base() + "' /proc/self/mounts").out, "1\n");
}

TEST_F(Clone, HasItsOwnNetworkOrTheMachines) {
  ASSERT_TRUE(Mount()) << Refusal();
  clone::Request request = For("tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; readlink /proc/self/ns/net");
  const std::string own = Out(request);
  EXPECT_EQ(own.find("lo\nnet:["), 0U) << own;
  EXPECT_EQ(Out("cat /sys/class/net/lo/flags 2>/dev/null >/dev/null; grep -c 0100007F /proc/net/route /proc/net/fib_trie | tail -1 | cut "
                "-d: -f1"),
            "/proc/net/fib_trie\n");
  request.network = true;
  const std::string machine = Shell("readlink /proc/self/ns/net").out;
  EXPECT_NE(Out(request).find(machine), std::string::npos);
  EXPECT_EQ(own.find(machine), std::string::npos);
}

TEST_F(Clone, SaysThatItsSpaceIsUsedUp) {
  ASSERT_TRUE(Mount()) << Refusal();
  clone::Request request = For("head -c 4M /dev/zero >file");
  request.space = 1 << 20;
  const Result result = Run(request);
  EXPECT_NE(result.ended.code, 0);
  EXPECT_TRUE(result.ended.full);
  request.space = 0;
  EXPECT_FALSE(Run(request).ended.full);
  // Also if it is ended for its time, and does not end by itself.
  for (const char* trap : {"", "trap '' TERM; "}) {
    request = For(std::string(trap) + "head -c 4M /dev/zero >file 2>/dev/null; while :; do sleep 0.05; done");
    request.space = 1 << 20;
    request.time_limit = milliseconds(1500);
    const Result timed_out = Run(request);
    EXPECT_EQ(timed_out.ended.how, Ended::How::kTimedOut);
    EXPECT_TRUE(timed_out.ended.full) << trap;
  }
}

TEST_F(Clone, WhatItWritesCanBeOnADisk) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("data"), "live");
  MakeDirs(Base("disk/tierfs-clone-killed/upper"));
  MakeDirs(Base("disk/other"));
  clone::Request request = For("rm data; head -c 1M /dev/zero >file; ls " + Base("disk"));
  request.space_directory = Base("disk");
  const std::string seen = Out(request);
  EXPECT_EQ(seen.find("other\ntierfs-clone-"), 0U) << seen;
  EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 2) << "what a killed caller left is removed: " << seen;
  EXPECT_EQ(Names(Base("disk")), std::set<std::string>{"other"});
  EXPECT_EQ(Names(Tier(2)), std::set<std::string>{"data"});
  MakeDirs(Mnt("deep/in"));
  ASSERT_EQ(::symlink((Tier(2) + "/deep").c_str(), Base("link").c_str()), 0);
  for (const auto& [directory, where] :
       {std::pair{Mnt("deep/in"), "the mount at " + Mnt()}, {Tier(2), "tier 2 at " + Tier(2)}, {Base("link"), "tier 2 at " + Tier(2)}}) {
    request.space_directory = directory;
    EXPECT_EQ(Run(request).error, directory + " is in " + where + ": choose a directory outside");
  }
  request.space_directory = Base("absent");
  EXPECT_EQ(Run(request).error, "a directory in " + Base("absent") + ": No such file or directory");
}

TEST_F(Clone, AMountWithOptionsHasThemInItsClone) {
  ASSERT_TRUE(Mount("nosuid,nodev,noexec")) << Refusal();
  EXPECT_NE(Out("grep ' '\"$PWD\"' overlay ' /proc/self/mounts").find("nosuid,nodev,noexec"), std::string::npos);
}

TEST_F(Clone, TreeStatesSeeEveryChange) {
  MakeDirs(Base("tree/d"));
  WriteFile(Base("tree/d/file"), "a");
  const auto read = [this] { return clone::TreeState::Read(Base("tree"), false); };
  const auto first = read();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->paths(), 3U);
  EXPECT_EQ(read()->hash(), first->hash());
  for (const char* change : {"echo b >d/file", "chmod 600 d/file", "chown 1:1 d/file", "setfattr -n user.x -v y d/file", "ln -s a d/link",
                             "ln -sfn b d/link", "mv d/file d/file2", "mkdir e", "chmod 700 d"}) {
    const auto before = read();
    ASSERT_EQ(Shell("cd " + Base("tree") + " && " + change).code, 0);
    const auto after = read();
    EXPECT_NE(after->hash(), before->hash()) << change;
    EXPECT_EQ(after->ChangedSince(*before), std::string(change).rfind("mv", 0) == 0 ? 2U : 1U) << change;
  }
  EXPECT_EQ(clone::TreeState::Read(Base("tree"), true).error().code, ECANCELED);
}

TEST_F(Clone, TreeStatesReachAnyDepthWithFewDescriptors) {
  MakeDirs(Base("tree"));
  // Deeper than PATH_MAX.
  ASSERT_EQ(
      Shell("cd " + Base("tree") + "; n=$(printf %0200d 0); for i in $(seq 60); do mkdir $n && cd -P $n || exit; done; echo a >f").code, 0);
  const pid_t reader = ::fork();
  if (reader == 0) {
    const rlimit few{20, 20};
    ::close_range(3, ~0U, 0);
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto state = clone::TreeState::Read(Base("tree"), false);
    ::_exit(state && state->paths() == 62 && state->bytes() == 2 ? 0 : 1);
  }
  int status = 0;
  ::waitpid(reader, &status, 0);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace tierfs::test
