// An invalid mount does not start. One line names the file, the line and the remedy, and nothing is
// changed.
#include <sys/mount.h>

#include <algorithm>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

class Refused : public MountTest {
 protected:
  // Expects that the mount is refused with one line that starts with `where` and contains `what`,
  // and that the trees are unchanged.
  void ExpectRefusal(const std::string& where, const std::string& what, const std::string& options = "") {
    const std::string before = Shell("find " + Base() + " -not -path '*/state*' | sort").out;
    const Ran ran = Execute(options.empty() ? std::vector<std::string>{TIERFS_BINARY, ConfigFile(), Mnt()}
                                            : std::vector<std::string>{TIERFS_BINARY, ConfigFile(), Mnt(), "-o", options});
    EXPECT_NE(ran.code, 0);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    EXPECT_EQ(ran.err.find(where), 0U) << ran.err;
    EXPECT_NE(ran.err.find(what), std::string::npos) << ran.err;
    EXPECT_EQ(Shell("find " + Base() + " -not -path '*/state*' | sort").out, before);
    EXPECT_EQ(Shell("grep -c " + Base() + "/mnt /proc/mounts").out, "0\n");
  }
  void Init() {
    WriteConfig();
    const Ran ran = Execute({TIERCTL_BINARY, "init", ConfigFile()});
    ASSERT_EQ(ran.code, 0) << ran.err;
  }
  [[nodiscard]] std::string At(int line) const { return ConfigFile() + ":" + std::to_string(line) + ": "; }
};

TEST_F(Refused, UnknownKeyWithTheNearestKnownOne) {
  Init();
  AddToConfig("polcy = \"x\"");
  WriteConfig();
  ExpectRefusal(At(4), "unknown key 'polcy'; did you mean 'policy'?");
}

TEST_F(Refused, ConfigThatIsNotToml) {
  Init();
  WriteFile(ConfigFile(), "name = \"test\nstate = 3");
  ExpectRefusal(ConfigFile() + ":1: ", "");
}

TEST_F(Refused, ConfigThatIsNotThere) {
  const Ran ran = Execute({TIERFS_BINARY, Base("none.toml"), Mnt()});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.err, Base("none.toml") + ": cannot read the config: No such file or directory\n");
}

TEST_F(Refused, TierThatIsMissing) {
  Init();
  ASSERT_EQ(::rmdir(Tier(3).c_str()), 0);
  ExpectRefusal(At(7), "tierctl init");
}

TEST_F(Refused, TierOnADiskThatIsNotMounted) {
  Init();
  ASSERT_EQ(::rmdir(Tier(2).c_str()), 0);
  MakeDirs(Tier(2));  // the empty mountpoint of the unmounted disk
  ExpectRefusal(At(6), "has no identity mark; is its disk mounted?");
  const Ran init = Execute({TIERCTL_BINARY, "init", ConfigFile()});
  EXPECT_EQ(init.code, 3) << "init does not use the empty mountpoint as a new tier";
  EXPECT_NE(init.err.find("while other tiers have theirs"), std::string::npos) << init.err;
}

// Runs the command that the message names, and nothing else.
TEST_F(Refused, TheCommandThatTheMessageNamesMakesTheMountPossible) {
  const auto mend = [this](const std::string& command) {
    const Ran refused = Execute({TIERFS_BINARY, ConfigFile(), Mnt()});
    EXPECT_EQ(refused.code, 1);
    const std::string quoted = "`tierctl " + command + " " + ConfigFile() + "`";
    EXPECT_NE(refused.err.find(quoted), std::string::npos) << refused.err;
    const std::size_t begin = refused.err.find("`tierctl ") + 9;
    const Ran ran = Shell(TIERCTL_BINARY " " + refused.err.substr(begin, refused.err.find('`', begin) - begin));
    EXPECT_EQ(ran.code, 0) << ran.err;
    ASSERT_TRUE(Mount()) << Refusal();
    WriteFile(Mnt("file"), "x");
    Unmount();
  };
  WriteConfig();
  mend("init");  // nothing is there
  for (const int tier : {3, 4}) ASSERT_EQ(Shell("rm -r " + Tier(tier)).code, 0);
  mend("init --adopt");  // a restore without tiers 3 and 4
  for (const int tier : {3, 4}) ASSERT_EQ(Shell("rm -r " + Tier(tier) + " && mkdir " + Tier(tier)).code, 0);
  mend("init --adopt");  // they are empty
  ASSERT_EQ(Shell("rm -r " + Tier(4) + " && setfattr -x trusted.tierfs.mark " + Tier(2)).code, 0);
  mend("init --adopt");  // tier 2 came back without its mark
  for (const int tier : {1, 3}) ASSERT_EQ(::rmdir(Tier(tier).c_str()), 0);
  ASSERT_EQ(Shell("rm -r " + Tier(4) + " && setfattr -x trusted.tierfs.mark " + Tier(2)).code, 0);
  mend("init --adopt");  // no mark is left, but files are
}

TEST_F(Refused, TierOfAnotherMount) {
  Init();
  ASSERT_EQ(::setxattr(Tier(2).c_str(), "trusted.tierfs.mark", "other/2/77", 10, 0), 0);
  ExpectRefusal(At(6), "is marked as tier 2 of 'other'");
}

TEST_F(Refused, TwoTiersInOneDirectory) {
  Init();
  UseTier(3, Tier(2));
  WriteConfig();
  ExpectRefusal(At(6), "are one directory");
  EXPECT_EQ(Execute({TIERCTL_BINARY, "init", ConfigFile()}).code, 3);
}

TEST_F(Refused, TiersNestedAlsoThroughASymlink) {
  Init();
  MakeDirs(Tier(2, "sub"));
  ASSERT_EQ(::symlink(Tier(2, "sub").c_str(), Base("link").c_str()), 0);
  UseTier(3, Base("link"));
  WriteConfig();
  ExpectRefusal(At(7), "is within tier 2");
}

TEST_F(Refused, NestedTiersAreNotCreated) {
  UseTier(3, Tier(2) + "/three");
  WriteConfig();
  EXPECT_EQ(Execute({TIERCTL_BINARY, "init", ConfigFile()}).code, 3);
  EXPECT_FALSE(Exists(Tier(2)));
}

TEST_F(Refused, MountpointInsideATier) {
  Init();
  MakeDirs(Tier(4, "mnt"));
  const Ran ran = Execute({TIERFS_BINARY, ConfigFile(), Tier(4, "mnt")});
  EXPECT_EQ(ran.code, 1);
  EXPECT_NE(ran.err.find("the mountpoint (" + Tier(4, "mnt") + ") is within tier 4"), std::string::npos) << ran.err;
}

TEST_F(Refused, TierInsideTheMountpoint) {
  Init();
  UseTier(1, Mnt("tier"));
  MakeDirs(Mnt("tier"));
  WriteConfig();
  ExpectRefusal(At(5), "is within the mountpoint");
}

TEST_F(Refused, InvalidPattern) {
  Init();
  SetPolicy("1 /etc/\n3 /a[b/\n");
  ExpectRefusal(PolicyFile() + ":2:", "");
}

TEST_F(Refused, InvalidInlineRuleWithItsLineInTheConfig) {
  Init();
  WriteFile(ConfigFile(),
            "name = \"test\"\nstate = \"state\"\nrules = \"\"\"\n1 /etc/\n7 /usr/\n\"\"\"\n[tier]\n1 = \"tier1\"\n2 = \"tier2\"\n"
            "3 = \"tier3\"\n4 = \"tier4\"\n");
  ExpectRefusal(ConfigFile() + ":5:", "");
}

TEST_F(Refused, PolicyThatCannotBeRead) {
  Init();
  ASSERT_EQ(::unlink(PolicyFile().c_str()), 0);
  ExpectRefusal(At(2), "cannot read the policy");
}

TEST_F(Refused, NonEmptyMountpoint) {
  Init();
  WriteFile(Mnt("hidden"), "x");
  ExpectRefusal(At(1), "is not empty");
  ASSERT_TRUE(Mount("nonempty")) << Refusal();
  EXPECT_FALSE(Exists(Mnt("hidden")));
  Unmount();
  EXPECT_EQ(ReadFile(Mnt("hidden")), "x");
}

TEST_F(Refused, SecondMountOfTheSameConfig) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Base("mnt2"));
  const Ran ran = Execute({TIERFS_BINARY, ConfigFile(), Base("mnt2")});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.err, At(1) + "'test' is mounted already; `tierctl status` shows where\n");
}

TEST_F(Refused, UnknownOption) {
  Init();
  const Ran ran = Execute({TIERFS_BINARY, ConfigFile(), Mnt(), "-o", "passthru=no"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.err, "tierfs: unknown mount option 'passthru=no' (see tierfs --help)\n");
}

TEST_F(Refused, ConfigCheckSaysTheSameWithoutMounting) {
  Init();
  EXPECT_EQ(Execute({TIERCTL_BINARY, "config", "check", ConfigFile()}).code, 0);
  SetPolicy("9 /x\n");
  const Ran ran = Execute({TIERCTL_BINARY, "config", "check", "--json", ConfigFile()});
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.out.find("test.tiers:1:1"), std::string::npos) << ran.out;
}

}  // namespace
}  // namespace tierfs::test
