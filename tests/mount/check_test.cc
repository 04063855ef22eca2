// `tierctl check` and `tierctl verify` on a real mount: each finding is produced, found and
// repaired.
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <nlohmann/json.hpp>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Check : public OverlayTest {
 protected:
  static Ran Tierctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  // Returns "code path" for each finding.
  std::set<std::string> Findings(const std::vector<std::string>& options = {}) {
    std::vector<std::string> arguments{"check", "--json", ConfigFile()};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const Ran ran = Tierctl(arguments);
    const json answer = json::parse(ran.out, nullptr, false);
    EXPECT_TRUE(answer.is_object()) << ran.out << ran.err;
    if (!answer.is_object()) return {};
    std::set<std::string> found;
    bool left = false;
    for (const json& each : answer["findings"]) {
      found.insert(each["code"].get<std::string>() + " " + each["path"].get<std::string>());
      EXPECT_NE(each["cure"], "");
      left = left || each["state"] != "repaired";
    }
    EXPECT_EQ(ran.code, left ? 1 : 0) << ran.out;
    return found;
  }
  // Expects that a check finds these, a dry run leaves them, a repair removes them.
  void ExpectMended(const std::set<std::string>& findings) {
    EXPECT_EQ(Findings(), findings);
    EXPECT_EQ(Findings({"--repair", "-n"}), findings);
    EXPECT_EQ(Findings({"--repair"}), findings);
    EXPECT_EQ(Findings(), std::set<std::string>{});
  }
};

TEST_F(Check, AHealthyMountHasNoFindings) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/gone", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr/lib"));
  WriteFile(Mnt("usr/lib/x.tmp"), "3");
  WriteFile(Mnt("a"), "2");
  ASSERT_EQ(::unlink(Mnt("gone").c_str()), 0);
  EXPECT_EQ(Findings(), std::set<std::string>{});
  EXPECT_EQ(Tierctl({"check", Mnt()}).out, "test: nothing found\n");
  Unmount();
  EXPECT_EQ(Findings(), std::set<std::string>{});
}

TEST_F(Check, IdenticalDuplicatesAreRepairedAndOthersLeft) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("same"), "one");
  WriteFile(Mnt("other"), "one");
  Unmount();
  ASSERT_EQ(Shell("cp -a " + Tier(2, "same") + " " + Tier(4, "same")).code, 0);
  WriteFile(Tier(3, "other"), "two");
  EXPECT_EQ(Findings({"--repair"}), (std::set<std::string>{"duplicate same", "duplicate other"}));
  EXPECT_EQ(TreesWith("same"), std::set<int>{2});
  EXPECT_EQ(TreesWith("other"), (std::set<int>{2, 3})) << "only the owner can tell which one is right";
  EXPECT_EQ(Findings(), std::set<std::string>{"duplicate other"});
  ASSERT_EQ(::unlink(Tier(3, "other").c_str()), 0);
  SkipKernelComparison();
}

TEST_F(Check, MisplacedFilesAreSettled) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/a"), "a");
  SetPolicy("3 a\n");
  ASSERT_EQ(Tierctl({"reload", ConfigFile()}).code, 0);
  ExpectMended({"misplaced d/a"});
  EXPECT_EQ(TreesWith("d/a"), std::set<int>{3});
}

// No rename moves all names of a file at once to another file system, and no repair takes it apart.
TEST_F(Check, AFileOfSeveralNamesStaysOnItsFileSystemAndTheCureIsTrue) {
  UseTier(1, MakeFileSystem(FileSystem::kTmpfs, 16) + "/tree");
  SetPolicy("1 /etc/\n");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("a"), "a");
  ASSERT_EQ(::link(Mnt("a").c_str(), Mnt("b").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("a").c_str(), Mnt("etc/a").c_str()), 0);
  const std::set<std::string> finding{"misplaced etc/a"};
  EXPECT_EQ(Findings(), finding);
  EXPECT_EQ(Findings({"--repair"}), finding);
  const std::string said = Tierctl({"check", Mnt()}).out;
  EXPECT_NE(said.find("it stays because it has 2 names"), std::string::npos) << said;
  EXPECT_NE(said.find("cure: remove its other names"), std::string::npos) << said;
  EXPECT_EQ(Stat(Mnt("etc/a")).st_ino, Stat(Mnt("b")).st_ino);
  ASSERT_EQ(::unlink(Mnt("b").c_str()), 0);
  ExpectMended(finding);
  EXPECT_EQ(TreesWith("etc/a"), std::set<int>{1});
  ASSERT_EQ(::link(Mnt("etc/a").c_str(), Mnt("etc/c").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("etc/c").c_str(), Mnt("c").c_str()), 0);
  ASSERT_EQ(Shell("cp -a " + Mnt("c") + " " + Mnt("d") + " && mv " + Mnt("d") + " " + Mnt("c")).code, 0);
  EXPECT_EQ(Findings(), std::set<std::string>{});
  EXPECT_EQ(TreesWith("c"), std::set<int>{2});
}

TEST_F(Check, StrayWhiteoutsAreRemoved) {
  const std::string lower = AddLower("lower");
  WriteFile(lower + "/needed", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::unlink(Mnt("needed").c_str()), 0);
  WriteFile(Mnt("file"), "x");
  ASSERT_EQ(::mknod(Tier(4, "stray").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_EQ(::mknod(Tier(4, "file").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ExpectMended({"stray-whiteout stray", "stray-whiteout file"});
  EXPECT_EQ(Whiteouts().size(), 1U);
  EXPECT_FALSE(Exists(Mnt("needed")));
}

// A whiteout beneath an opaque directory or a whiteout of an upper layer hides an entry that does
// not show in any case.
TEST_F(Check, AWhiteoutIsStrayWhereALayerAlreadyHidesTheEntry) {
  const std::string upper = AddLower("upper");
  const std::string lowest = AddLower("lowest");
  MakeDirs(upper + "/opaque");
  MakeDirs(upper + "/merged");
  ASSERT_EQ(::lsetxattr((upper + "/opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::mknod((upper + "/whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  for (const char* directory : {"/opaque", "/merged"}) {
    MakeDirs(lowest + directory);
    WriteFile(lowest + directory + "/file", "x");
  }
  WriteFile(lowest + "/whiteout", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::unlink(Mnt("merged/file").c_str()), 0);
  MakeDirs(Tier(4, "opaque"));
  ASSERT_EQ(::mknod(Tier(4, "opaque/file").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ASSERT_EQ(::mknod(Tier(4, "whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ExpectMended({"stray-whiteout opaque/file", "stray-whiteout whiteout"});
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"2/merged/file"});
  EXPECT_FALSE(Exists(Mnt("merged/file")));
}

TEST_F(Check, AWhiteoutOverTheLowestOfSixtyLayersIsLeft) {
  std::string lowest;
  for (int layer = 0; layer < 60; ++layer) lowest = AddLower("lower" + std::to_string(layer));
  WriteFile(lowest + "/needed", "x");
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::unlink(Mnt("needed").c_str()), 0);
  EXPECT_EQ(Findings({"--repair"}), std::set<std::string>{});
  EXPECT_FALSE(Exists(Mnt("needed")));
}

// The lowest layer is mounted over and cannot be read. A whiteout that may hide an entry there is
// left.
TEST_F(Check, WhiteoutsOverAHiddenLowestLayerAreLeft) {
  WriteFile(Mnt("needed"), "x");
  UseOver();
  ASSERT_TRUE(Mount()) << Refusal();
  ASSERT_EQ(::unlink(Mnt("needed").c_str()), 0);
  WriteFile(Mnt("file"), "x");
  ASSERT_EQ(::mknod(Tier(4, "file").c_str(), S_IFCHR, makedev(0, 0)), 0);
  ExpectMended({"stray-whiteout file"});
  EXPECT_EQ(Whiteouts(), std::set<std::string>{"2/needed"});
}

TEST_F(Check, DirectoriesWithDifferentAttributesAreRepaired) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/a"), "2");
  WriteFile(Mnt("d/x.tmp"), "3");
  MakeDirs(Mnt("e"));
  WriteFile(Mnt("e/x.tmp"), "3");
  Unmount();
  ASSERT_EQ(::chmod(Tier(3, "d").c_str(), 0700), 0);
  ASSERT_EQ(::setxattr(Tier(3, "d").c_str(), "user.x", "1", 1, 0), 0);
  // The state that a crash leaves while the directory is being cloned.
  ASSERT_EQ(::chmod(Tier(3, "e").c_str(), 01000), 0);
  const struct stat before = Stat(Tier(3, "d"));
  ExpectMended({"directory-attributes d", "unfinished-directory e"});
  EXPECT_EQ(Stat(Tier(3, "d")).st_mode, Stat(Tier(2, "d")).st_mode);
  EXPECT_EQ(Stat(Tier(3, "d")).st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(Xattr(Tier(3, "d"), "user.x"), "");
}

TEST_F(Check, DirectoriesWithDifferentAclsOrInodeFlagsAreRepaired) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::vector<std::string> names{"acl", "nodump", "immutable", "kept"};
  for (const std::string& name : names) {
    MakeDirs(Mnt(name));
    WriteFile(Mnt(name + "/a"), "2");
    WriteFile(Mnt(name + "/x.tmp"), "3");
  }
  Unmount();
  ASSERT_EQ(Shell("setfacl -m u:77:rwx " + Tier(3, "acl")).code, 0);
  ASSERT_EQ(Shell("setfacl -d -m u:77:rwx " + Tier(2, "acl")).code, 0);
  ASSERT_EQ(Shell("chattr +d " + Tier(2, "nodump")).code, 0);
  ASSERT_EQ(Shell("chattr +i " + Tier(3, "immutable")).code, 0);
  ASSERT_EQ(Shell("chattr +i " + Tier(2, "kept")).code, 0);
  ExpectMended({"directory-attributes acl", "directory-attributes nodump", "directory-attributes immutable", "directory-attributes kept"});
  const auto flags = [this](int tier, const std::string& name) { return Shell("lsattr -d " + Tier(tier, name) + " | cut -d' ' -f1").out; };
  for (const std::string& name : names) EXPECT_EQ(flags(2, name), flags(3, name)) << name;
  EXPECT_EQ(flags(3, "immutable").find('i'), std::string::npos);
  EXPECT_NE(flags(3, "kept").find('i'), std::string::npos);
  EXPECT_EQ(Xattr(Tier(3, "acl"), "system.posix_acl_access"), "");
  EXPECT_NE(Xattr(Tier(3, "acl"), "system.posix_acl_default"), "");
  ASSERT_EQ(Shell("chattr -i " + Tier(2, "kept") + " " + Tier(3, "kept")).code, 0);
}

TEST_F(Check, ForeignAttributesAndMountsAreFound) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("a"), "2");
  Unmount();
  ASSERT_EQ(::setxattr(Tier(2, "a").c_str(), "trusted.overlay.metacopy", "y", 1, 0), 0);
  ExpectMended({"foreign-attribute a"});
  ASSERT_EQ(Execute({"mount", "-t", "tmpfs", "tierfs-test", Tier(2, "d")}).code, 0);
  EXPECT_EQ(Findings({"--repair"}), std::set<std::string>{"foreign-mount d"});
  ASSERT_EQ(UnmountWhenFree(Tier(2, "d")), 0);
}

TEST_F(Check, AChangeUnderneathIsAFindingUntilARescan) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "2");
  EXPECT_EQ(Findings(), std::set<std::string>{});
  WriteFile(Tier(2, "underneath"), "x");
  ExpectMended({"catalogue-differs "});
}

TEST_F(Check, AnOpenIntentIsAFindingUntilAMountFinishesIt) {
  UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 16) + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  UniqueFd open(::open(Mnt("doc.tmp").c_str(), O_RDWR | O_CREAT, 0644));
  ASSERT_EQ(::rename(Mnt("doc.tmp").c_str(), Mnt("doc").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(Findings(), (std::set<std::string>{"open-intent ", "misplaced doc"}));
  KillDaemon();
  open.Reset();
  EXPECT_EQ(Findings(), (std::set<std::string>{"open-intent ", "misplaced doc"}));
  EXPECT_EQ(Findings({"--repair"}), (std::set<std::string>{"open-intent ", "misplaced doc"})) << "only a mount can finish it";
  // A repair also leaves the database of a later program while it has open intents.
  ASSERT_EQ(Shell("sqlite3 " + Base("state/catalog.db") + " 'PRAGMA user_version = 7'").code, 0);
  EXPECT_EQ(Findings({"--repair"}), (std::set<std::string>{"catalogue-damaged ", "misplaced doc"}));
  EXPECT_TRUE(Exists(Base("state/catalog.db")));
  ASSERT_TRUE(Mount()) << Refusal();
  Settled();
  EXPECT_EQ(Findings(), std::set<std::string>{});
  EXPECT_EQ(TreesWith("doc"), std::set<int>{2});
}

TEST_F(Check, AnUnreadableDirectoryIsAFinding) {
  const std::string disk = MakeFileSystem(FileSystem::kXfs, 320);
  UseTier(3, disk + "/tree");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  for (int i = 0; i < 100; ++i) WriteFile(Mnt("d/some-file-" + std::to_string(i) + ".tmp"), "");
  Unmount();
  const std::string inode = std::to_string(Stat(Tier(3, "d")).st_ino);
  ASSERT_EQ(UnmountWhenFree(disk), 0);
  const Ran damaged = Shell("set -e; image=$(ls " + Base() + R"(/image*)
    block=$(xfs_db -r -c "inode )" +
                            inode + R"(" -c bmap $image | sed -n 's/.*startblock \([0-9]*\) .*/\1/p' | head -n 1)
    at=$(xfs_db -r -c "convert fsblock $block byte" $image | sed 's/.*(\([0-9]*\)).*/\1/')
    dd if=/dev/zero of=$image bs=1 seek=$at count=512 conv=notrunc status=none
    mount -o loop $image )" +
                            disk);
  ASSERT_EQ(damaged.code, 0) << damaged.out << damaged.err;
  EXPECT_EQ(Findings({"--repair"}), std::set<std::string>{"unreadable d"});
  // An unreadable tier is an error, not a finding.
  ASSERT_EQ(Execute({"xfs_io", "-x", "-c", "shutdown", disk}).code, 0);
  const Ran ran = Tierctl({"check", ConfigFile()});
  EXPECT_EQ(ran.code, 3);
  EXPECT_NE(ran.err.find(Tier(3) + ": Input/output error"), std::string::npos) << ran.err;
}

TEST_F(Check, ADamagedDatabaseIsRemovedAndRebuilt) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (int i = 0; i < 200; ++i) WriteFile(Mnt("file" + std::to_string(i)), "x");
  ASSERT_EQ(Tierctl({"changes", ConfigFile()}).code, 0);
  Unmount();
  const std::string database = Base("state/catalog.db");
  std::string bytes = ReadFile(database);
  ASSERT_GT(bytes.size(), 20000U);
  for (std::size_t at = 4096; at < bytes.size(); at += 512) bytes.replace(at, 16, "garbage, garbage");
  WriteFile(database, bytes);
  EXPECT_EQ(Findings(), std::set<std::string>{"catalogue-damaged "});
  EXPECT_EQ(Findings({"--repair"}), std::set<std::string>{"catalogue-damaged "});
  EXPECT_FALSE(Exists(database));
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Findings(), std::set<std::string>{});
  EXPECT_EQ(Tierctl({"changes", ConfigFile()}).code, 0);
}

TEST_F(Check, VerifyFindsBytesThatChangedWithoutAWrite) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("rots"), std::string(100000, 'a'));
  WriteFile(Mnt("stays"), std::string(100000, 'a'));
  WriteFile(Mnt("grows"), "a");
  ASSERT_EQ(Tierctl({"changes", ConfigFile()}).code, 0);
  // Checksums are computed some seconds after the last change.
  json summary = json::object();
  for (int i = 0; i < 300 && summary.value("files", 0) != 3; ++i) {
    ::usleep(100000);
    summary = json::parse(Tierctl({"verify", "--json", ConfigFile()}).out, nullptr, false);
  }
  ASSERT_EQ(summary["files"], 3) << summary;
  EXPECT_EQ(summary["bytes"], 200001);
  Unmount();
  WriteFile(Tier(2, "grows"), "and says so");
  // Imitates an error of the disk: the bytes change, the times do not. The test cannot set the
  // clock, so it adjusts the record to the file.
  ASSERT_EQ(Shell("printf b | dd of=" + Tier(2, "rots") + " bs=1 seek=5000 conv=notrunc status=none").code, 0);
  const auto ns = [](const timespec& time) { return std::to_string(std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec); };
  const auto sql = [&](const std::string& statement) {
    const Ran done = Shell("sqlite3 " + Base("state/catalog.db") + " \"" + statement + " WHERE path = CAST('rots' AS BLOB)\"");
    EXPECT_EQ(done.code, 0) << done.err;
    return done.out;
  };
  Ran ran;
  // `verify` skips a file that it cannot be sure of. The test then tries again.
  for (int i = 0; i < 5; ++i) {
    const struct stat st = Stat(Tier(2, "rots"));
    sql("UPDATE entries SET mtime = " + ns(st.st_mtim) + ", ctime = " + ns(st.st_ctim));
    ran = Tierctl({"verify", "--json", ConfigFile()});
    if (ran.code == 5) break;
    ::usleep(200000);
  }
  const struct stat last = Stat(Tier(2, "rots"));
  ASSERT_EQ(ran.code, 5) << ran.err << ran.out << "recorded " << sql("SELECT mtime, ctime, size, inode FROM entries") << "found "
                         << ns(last.st_mtim) << "|" << ns(last.st_ctim) << "|" << last.st_size << "|" << last.st_ino;
  summary = json::parse(ran.out, nullptr, false);
  ASSERT_EQ(summary["corrupt"].size(), 1U) << summary;
  EXPECT_EQ(summary["corrupt"][0]["path"], "rots");
  EXPECT_NE(summary["corrupt"][0]["recorded"], summary["corrupt"][0]["found"]);
  EXPECT_EQ(summary["changed_since"], 1);
  const Ran text = Tierctl({"verify", "--tier", "2", "--full", "--rate", "1000", ConfigFile()});
  EXPECT_EQ(text.code, 5);
  EXPECT_NE(text.out.find("corrupt: tier 2 rots\n"), std::string::npos) << text.out;
  EXPECT_EQ(Tierctl({"verify", "--tier", "1", ConfigFile()}).code, 0);
}

TEST_F(Check, BadInputIsRefused) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* verb : {"check", "verify", "rescan"}) {
    EXPECT_EQ(Tierctl({verb, "--help"}).code, 0);
    EXPECT_EQ(Tierctl({verb}).code, 2);
    EXPECT_EQ(Tierctl({verb, "/none.toml"}).code, 2);
    EXPECT_EQ(Tierctl({verb, "--nonsense", ConfigFile()}).code, 2);
  }
  EXPECT_EQ(Tierctl({"check", "-n", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"verify", "--tier", "3", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"verify", "--rate", "-1", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"verify", "--rate", "x", ConfigFile()}).code, 2);
  Unmount();
  EXPECT_EQ(Tierctl({"rescan", ConfigFile()}).code, 3);
}

}  // namespace
}  // namespace tierfs::test
