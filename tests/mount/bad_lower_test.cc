// Invalid lower layers are refused. One line names the config, the line and the remedy, and nothing
// is mounted.
#include <sys/mount.h>

#include <algorithm>

#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

class BadLower : public OverlayTest {
 protected:
  static constexpr int kLowerLine = 4;
  static int LineOfTier(int tier) { return kLowerLine + 1 + tier; }

  // Expects that a mount with this `lower` in the config is refused. The message is one line: it
  // names line `at` of the config and contains `what`.
  void ExpectRefusal(const std::string& lower, const std::string& what, int at = kLowerLine) {
    WriteConfig();
    const Ran init = Execute({TIERCTL_BINARY, "init", ConfigFile()});
    ASSERT_EQ(init.code, 0) << init.err;
    std::string config = ReadFile(ConfigFile());
    config.insert(config.find("[tier]"), "lower = " + lower + "\n");
    WriteFile(ConfigFile(), config);
    const std::string line = ConfigFile() + ":" + std::to_string(at) + ": ";
    const Ran ran = Execute({TIERFS_BINARY, ConfigFile(), Mnt()});
    EXPECT_EQ(ran.code, 1);
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_EQ(ran.err.find(line), 0U) << ran.err;
    EXPECT_NE(ran.err.find(what), std::string::npos) << ran.err;
    EXPECT_EQ(Shell("grep -c ' " + Mnt() + " ' /proc/mounts").out, "0\n");
    for (int tier = 1; tier <= 4; ++tier) EXPECT_EQ(Names(Tier(tier)).size(), Names(Tier(tier)).count("inside")) << tier;
  }
  void ExpectRefusalOf(const std::string& directory, const std::string& what, int at = kLowerLine) {
    ExpectRefusal("[\"" + directory + "\"]", what, at);
    if (directory == Mnt()) return;  // the config does not name the mountpoint
    const Ran check = Execute({TIERCTL_BINARY, "config", "check", ConfigFile()});
    EXPECT_EQ(check.code, 2) << "config check gives the same refusal";
    EXPECT_NE((check.out + check.err).find(what), std::string::npos) << check.out << check.err;
  }
};

TEST_F(BadLower, Missing) { ExpectRefusalOf(Base("none"), "No such file or directory; is its file system mounted?"); }

TEST_F(BadLower, AFile) {
  WriteFile(Base("file"), "");
  ExpectRefusalOf(Base("file"), "is not a directory");
}

TEST_F(BadLower, OfADaemonThatDied) {
  ASSERT_TRUE(MountTest::Mount()) << Refusal();
  const int pid = DaemonPid();
  ASSERT_GT(pid, 0);
  ASSERT_EQ(::mkdir(Base("dead").c_str(), 0755), 0);
  ASSERT_EQ(::mount(Mnt().c_str(), Base("dead").c_str(), nullptr, MS_BIND, nullptr), 0);
  Stat(Base("dead"));  // makes the kernel remember the mount
  KillDaemon();
  ExpectRefusalOf(Base("dead"), Base("dead") + ": ");
  ASSERT_EQ(::umount2(Base("dead").c_str(), MNT_DETACH), 0);
}

TEST_F(BadLower, ThatIsATier) { ExpectRefusalOf(Tier(4), "are one directory", LineOfTier(4)); }

TEST_F(BadLower, ThatIsATierByAnotherName) {
  MakeDirs(Base("alias"));
  MakeDirs(Tier(4));
  ASSERT_EQ(::mount(Tier(4).c_str(), Base("alias").c_str(), nullptr, MS_BIND, nullptr), 0) << std::strerror(errno);
  ExpectRefusalOf(Base("alias"), "are one directory", LineOfTier(4));
  ASSERT_EQ(UnmountWhenFree(Base("alias")), 0);
}

TEST_F(BadLower, InsideATier) {
  MakeDirs(Tier(3, "inside"));
  WriteConfig();
  ASSERT_EQ(Execute({TIERCTL_BINARY, "init", "--adopt", ConfigFile()}).code, 0);
  ExpectRefusalOf(Tier(3, "inside"), "is within tier 3");
}

TEST_F(BadLower, ThatHoldsATier) {
  MakeDirs(Base("image"));
  UseTier(2, Base("image/tier2"));
  ExpectRefusalOf(Base("image"), "one of them out", LineOfTier(2));
}

TEST_F(BadLower, NamedTwice) {
  MakeDirs(Base("image"));
  ASSERT_EQ(::symlink("image", Base("link").c_str()), 0);
  ExpectRefusal("[\"" + Base("image") + "\", \"" + Base("link") + "\"]", "is named twice");
}

// The kernel's overlayfs would refuse these layers.
TEST_F(BadLower, OneInsideTheOther) {
  MakeDirs(Base("image/part"));
  ExpectRefusal("[\"" + Base("image") + "\", \"" + Base("image/part") + "\"]", "is within the lower layer");
}

TEST_F(BadLower, TheMountpointByItsName) { ExpectRefusalOf(Mnt(), "and the mountpoint are one directory"); }

TEST_F(BadLower, OverThatIsNotTheLast) {
  MakeDirs(Base("image"));
  ExpectRefusal("[\"over\", \"" + Base("image") + "\"]", "it has to come last");
}

TEST_F(BadLower, MoreThanAMountCanHave) {
  std::string list = "\"" + Base("image0") + "\"";
  for (int i = 1; i <= 60; ++i) list += ", \"" + Base("image" + std::to_string(i)) + "\"";
  for (int i = 0; i <= 60; ++i) MakeDirs(Base("image" + std::to_string(i)));
  ExpectRefusal("[" + list + "]", "more than 60 lower layers");
}

TEST_F(BadLower, NoList) {
  ExpectRefusal("3", "has to be a list of directories");
  ExpectRefusal("[1, 2]", "has to be a list of directories");
  ExpectRefusal("[\"\"]", "an empty name");
}

}  // namespace
}  // namespace tierfs::test
