// `tierctl changes` on a real mount: the listing that a backup job reads.
#include <fcntl.h>
#include <sys/mman.h>

#include <nlohmann/json.hpp>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using nlohmann::json;
using Lines = std::set<std::string>;

class Changes : public OverlayTest {
 protected:
  static Ran Tierctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }

  // The records since the last call, or since the token `since`. Directories with a changed time
  // only are left out.
  Lines Since(const std::string& since, int tier = 2, int code = 0) {
    const Ran ran = Tierctl({"changes", "-0", "--tier", std::to_string(tier), "--since", since, ConfigFile()});
    EXPECT_EQ(ran.code, code) << ran.err;
    return Records(ran.out, tier);
  }
  Lines New() { return Since(token_); }
  // A token for the current state.
  std::string Token() {
    const Ran ran = Tierctl({"changes", "-0", ConfigFile()});
    EXPECT_EQ(ran.code, 0) << ran.err;
    (void)Records(ran.out, 2);
    return token_;
  }

  std::string token_ = "";

 private:
  Lines Records(const std::string& out, int tier) {
    Lines lines;
    std::string last;
    for (std::size_t at = 0; at < out.size();) {
      const std::size_t end = out.find('\0', at);
      if (end == std::string::npos) {
        ADD_FAILURE() << "a record without an end";
        break;
      }
      last = out.substr(at, end - at);
      at = end + 1;
      struct stat st {};
      const bool directory = ::lstat(Tier(tier, last.substr(2)).c_str(), &st) == 0 && S_ISDIR(st.st_mode);
      if (last[0] != '=' && !(last[0] == 'm' && directory)) lines.insert(last);
    }
    EXPECT_EQ(last.substr(0, 2), "= ") << "the next token is the last line";
    token_ = last.substr(std::min<std::size_t>(2, last.size()));
    return lines;
  }
};

TEST_F(Changes, EveryKindOfChangeIsListedOnce) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d/e"));
  for (const char* name : {"written", "truncated", "moved", "replaced", "removed", "mode", "xattr", "linked"}) WriteFile(Mnt(name), name);
  Token();
  EXPECT_EQ(New(), Lines{});

  WriteFile(Mnt("new"), "1");
  WriteFile(Mnt("new"), "2");
  WriteFile(Mnt("written"), "other");
  ASSERT_EQ(::truncate(Mnt("truncated").c_str(), 3), 0);
  ASSERT_EQ(::rename(Mnt("moved").c_str(), Mnt("d/moved").c_str()), 0);
  WriteFile(Mnt("x.tmp"), "new content");  // tier 3
  ASSERT_EQ(::rename(Mnt("x.tmp").c_str(), Mnt("replaced").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("removed").c_str()), 0);
  ASSERT_EQ(::chmod(Mnt("mode").c_str(), 0600), 0);
  ASSERT_EQ(::setxattr(Mnt("xattr").c_str(), "user.x", "1", 1, 0), 0);
  ASSERT_EQ(::link(Mnt("linked").c_str(), Mnt("d/link").c_str()), 0);
  ASSERT_EQ(::symlink("new", Mnt("symlink").c_str()), 0);
  ASSERT_EQ(::mkfifo(Mnt("fifo").c_str(), 0600), 0);
  MakeDirs(Mnt("made/inside"));
  ASSERT_EQ(::rmdir(Mnt("d/e").c_str()), 0);
  EXPECT_EQ(New(), (Lines{"A new", "M written", "M truncated", "D moved", "A d/moved", "M replaced", "D removed", "m mode", "m xattr",
                          "m linked", "A d/link", "A symlink", "A fifo", "A made", "A made/inside", "D d/e"}));
  EXPECT_EQ(New(), Lines{});
}

TEST_F(Changes, ADirectoryWithReplacedEntriesIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/a"), "old");
  Token();
  const auto directory_is_listed = [this] {
    const std::string before = token_;
    (void)New();
    const Ran ran = Tierctl({"changes", "--since", before, ConfigFile()});
    return ran.out.find("m d\n") != std::string::npos;
  };
  EXPECT_FALSE(directory_is_listed());
  WriteFile(Mnt("d/x.tmp"), "new");
  ASSERT_EQ(::rename(Mnt("d/x.tmp").c_str(), Mnt("d/a").c_str()), 0);
  EXPECT_TRUE(directory_is_listed()) << "another file took the name";
  ASSERT_EQ(::unlink(Mnt("d/a").c_str()), 0);
  WriteFile(Mnt("d/a"), "new");
  EXPECT_TRUE(directory_is_listed()) << "a new file took the name, with the inode number of the old";
  WriteFile(Mnt("d/briefly"), "");
  ASSERT_EQ(::unlink(Mnt("d/briefly").c_str()), 0);
  EXPECT_TRUE(directory_is_listed()) << "a file was created and removed";
}

TEST_F(Changes, OtherTiersAreNotTouched) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr/lib"));
  MakeDirs(Mnt("etc"));
  Token();
  WriteFile(Mnt("usr/lib/a"), "4");
  WriteFile(Mnt("etc/a"), "1");
  const std::string before = token_;
  EXPECT_EQ(New(), Lines{});
  EXPECT_EQ(Since(before, 1), Lines{"A etc/a"});
  const Ran refused = Tierctl({"changes", "--tier", "3", ConfigFile()});
  EXPECT_EQ(refused.code, 2);
  EXPECT_NE(refused.err.find("'feed'"), std::string::npos) << refused.err;
}

TEST_F(Changes, TierThreeIsTrackedByOption) {
  AddToConfig("feed = [2, 3]");
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string start = Token();
  WriteFile(Mnt("x.tmp"), "3");
  EXPECT_EQ(Since(start, 3), Lines{"A x.tmp"});
  EXPECT_EQ(Tierctl({"changes", "--tier", "1", ConfigFile()}).code, 2);
}

TEST_F(Changes, ARenamedDirectoryIsListedWithAllThatIsInIt) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("a/b"));
  WriteFile(Mnt("a/b/f"), "f");
  WriteFile(Mnt("a/x.tmp"), "tier 3");
  Token();
  ASSERT_EQ(::rename(Mnt("a").c_str(), Mnt("z").c_str()), 0);
  EXPECT_EQ(New(), (Lines{"D a", "D a/b", "D a/b/f", "A z", "A z/b", "A z/b/f"}));
}

TEST_F(Changes, AFileIsListedByItsRemainingNames) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("d"));
  WriteFile(Mnt("d/kept"), "one");
  ASSERT_EQ(::link(Mnt("d/kept").c_str(), Mnt("gone").c_str()), 0);
  ASSERT_EQ(::link(Mnt("d/kept").c_str(), Mnt("renamed").c_str()), 0);
  Token();
  // The kernel knows the other names and does not look them up again.
  ASSERT_EQ(::unlink(Mnt("gone").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("renamed").c_str(), Mnt("d/moved").c_str()), 0);
  Token();
  ASSERT_EQ(::unlink(Mnt("d/moved").c_str()), 0);
  Token();
  WriteFile(Mnt("d/kept"), "another");
  EXPECT_EQ(New(), Lines{"M d/kept"});
  ASSERT_EQ(::chmod(Mnt("d/kept").c_str(), 0600), 0);
  EXPECT_EQ(New(), Lines{"m d/kept"});
  ASSERT_EQ(::link(Mnt("d/kept").c_str(), Mnt("new").c_str()), 0);
  EXPECT_EQ(New(), (Lines{"A new", "m d/kept"}));
  ASSERT_EQ(::unlink(Mnt("new").c_str()), 0);
  EXPECT_EQ(Xattr(Mnt("d/kept"), "user.tierfs.path"), Tier(2, "d/kept"));
}

TEST_F(Changes, AnOpenFileIsListedWhenItChanges) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("log"), "begin\n");
  WriteFile(Mnt("database"), std::string(8192, '0'));
  const int log = ::open(Mnt("log").c_str(), O_WRONLY | O_APPEND);
  const int database = ::open(Mnt("database").c_str(), O_RDWR);
  ASSERT_GE(log, 0);
  ASSERT_GE(database, 0);
  Token();
  EXPECT_EQ(New(), Lines{}) << "open, but not written";
  ASSERT_EQ(::write(log, "more\n", 5), 5);
  EXPECT_EQ(New(), Lines{"M log"});
  ASSERT_EQ(::pwrite(database, "1", 1, 5000), 1);
  EXPECT_EQ(New(), Lines{"M database"});
  EXPECT_EQ(New(), Lines{});
  auto* page = static_cast<char*>(::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, database, 0));
  ASSERT_NE(page, MAP_FAILED);
  for (int round = 0; round < 3; ++round) {
    page[10] = static_cast<char>('a' + round);
    ASSERT_EQ(::msync(page, 8192, Passthrough() ? MS_ASYNC : MS_SYNC), 0);
    EXPECT_EQ(New(), Lines{"M database"}) << "stores into one page, round " << round;
  }
  ::close(database);
  ::close(log);
  page[20] = 'z';
  ASSERT_EQ(::msync(page, 8192, Passthrough() ? MS_ASYNC : MS_SYNC), 0);
  EXPECT_EQ(New(), Lines{"M database"}) << "through a mapping that outlived the descriptor";
  page[21] = 'z';
  ASSERT_EQ(::munmap(page, 8192), 0);
  EXPECT_EQ(New(), Lines{"M database"}) << "stored before the munmap";
  EXPECT_EQ(New(), Lines{});
}

// On a file system where a store into a mapping changes no time, a file with a writable mapping
// counts as changed.
TEST_F(Changes, AMappedFileOnTmpfsCountsAsChanged) {
  UseTier(2, MakeFileSystem(FileSystem::kTmpfs, 16) + "/tier2");
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), std::string(4096, '0'));
  const int file = ::open(Mnt("a").c_str(), O_RDWR);
  ASSERT_GE(file, 0);
  auto* page = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
  ASSERT_NE(page, MAP_FAILED);
  page[0] = '1';
  Token();
  page[1] = '1';
  ASSERT_EQ(::msync(page, 4096, MS_SYNC), 0);
  EXPECT_EQ(New(), Lines{"M a"});
  ::close(file);
  Token();
  page[2] = '1';
  ASSERT_EQ(::munmap(page, 4096), 0);
  EXPECT_EQ(New(), Lines{"M a"});
  EXPECT_EQ(New(), Lines{});
}

TEST_F(Changes, AKilledDaemonForgetsNoChange) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("old"), "old");
  WriteFile(Mnt("gone"), "gone");
  MakeDirs(Mnt("d"));
  Token();
  WriteFile(Mnt("old"), "changed");
  WriteFile(Mnt("d/new"), "new");
  ASSERT_EQ(::unlink(Mnt("gone").c_str()), 0);
  KillDaemon();
  WriteFile(Tier(2, "underneath"), "while nothing was mounted");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(New(), (Lines{"M old", "A d/new", "D gone", "A underneath"}));
}

TEST_F(Changes, ARescanFindsChangesUnderneath) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  Token();
  WriteFile(Tier(2, "b"), "underneath");
  EXPECT_EQ(New(), Lines{});
  const Ran rescan = Tierctl({"rescan", "--json", ConfigFile()});
  EXPECT_EQ(rescan.code, 0) << rescan.err;
  EXPECT_GE(json::parse(rescan.out)["differed"], 1);
  EXPECT_EQ(ReadFile(Mnt("b")), "underneath");
  EXPECT_EQ(New(), Lines{"A b"});
}

TEST_F(Changes, CopyUpAndWhiteoutsAreEntriesOfTheTree) {
  const std::string lower = AddLower("lower");
  MakeDirs(lower + "/d");
  WriteFile(lower + "/d/kept", "kept");
  WriteFile(lower + "/d/gone", "gone");
  ASSERT_TRUE(Mount()) << Refusal();
  Token();
  ASSERT_EQ(::chmod(Mnt("d/kept").c_str(), 0600), 0);
  ASSERT_EQ(::unlink(Mnt("d/gone").c_str()), 0);
  const std::string before = token_;
  EXPECT_EQ(New(), (Lines{"A d", "A d/kept", "A d/gone"}));
  const json changes = json::parse(Tierctl({"changes", "--json", "--since", before, ConfigFile()}).out);
  EXPECT_EQ(changes["full"], false);
  EXPECT_EQ(changes["token"], token_);
  for (const json& change : changes["changes"]) EXPECT_EQ(change.value("whiteout", false), change["path"] == "d/gone") << change;
}

// One file has names in two tracked trees and in an untracked one. A change through the last name
// is a change of the others.
TEST_F(Changes, AChangeThroughANameInAnotherTierIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  MakeDirs(Mnt("etc"));
  WriteFile(Mnt("a"), "a");
  ASSERT_EQ(::link(Mnt("a").c_str(), Mnt("usr/a").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::link(Mnt("a").c_str(), Mnt("etc/a").c_str()), 0) << std::strerror(errno);
  EXPECT_EQ(TreesWith("usr/a"), std::set<int>{4});
  Token();
  for (const bool remounted : {false, true}) {
    // After the remount, the other names have not been looked up.
    if (remounted) Remount();
    const std::string start = token_;
    ASSERT_EQ(Shell("printf more >> " + Mnt("usr/a")).code, 0);
    EXPECT_EQ(New(), Lines{"M a"}) << remounted;
    EXPECT_EQ(Since(start, 1), Lines{"M etc/a"});
    ASSERT_EQ(::chmod(Mnt("usr/a").c_str(), remounted ? 0600 : 0640), 0);
    EXPECT_EQ(New(), Lines{"m a"});
    {
      const UniqueFd open(::open(Mnt("usr/a").c_str(), O_WRONLY | O_APPEND));
      ASSERT_EQ(::write(open.get(), "x", 1), 1);
      EXPECT_EQ(New(), Lines{"M a"}) << "while it is open";
    }
    (void)New();
    ASSERT_EQ(::rename(Mnt("usr/a").c_str(), Mnt("usr/b").c_str()), 0);
    ASSERT_EQ(::rename(Mnt("usr/b").c_str(), Mnt("usr/a").c_str()), 0);
    EXPECT_EQ(Tierctl({"check", ConfigFile()}).out, "test: nothing found\n");
  }
  ASSERT_EQ(::unlink(Mnt("usr/a").c_str()), 0);
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).out, "test: nothing found\n") << "the link counts of the others are known";
}

// A whiteout may be in the tier of an earlier policy. A backup of that tree has to learn when it
// goes.
TEST_F(Changes, AWhiteoutOfAnEarlierPolicyIsListedWhenItGoes) {
  const std::string lower = AddLower("lower");
  for (const char* name : {"renamed", "made", "directory"}) WriteFile(lower + "/" + name, "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* name : {"renamed", "made", "directory"}) ASSERT_EQ(::unlink(Mnt(name).c_str()), 0);
  EXPECT_EQ(Whiteouts(), (std::set<std::string>{"2/renamed", "2/made", "2/directory"}));
  const std::string start = Token();
  SetPolicy("4 *\n");
  ASSERT_EQ(Tierctl({"reload", ConfigFile()}).code, 0);
  WriteFile(Mnt("other"), "4");
  ASSERT_EQ(::mkdir(Mnt("d").c_str(), 0755), 0);
  ASSERT_EQ(::rename(Mnt("other").c_str(), Mnt("renamed").c_str()), 0) << std::strerror(errno);
  ASSERT_EQ(::rename(Mnt("d").c_str(), Mnt("directory").c_str()), 0) << std::strerror(errno);
  WriteFile(Mnt("made"), "4");
  EXPECT_EQ(Whiteouts(), std::set<std::string>{});
  EXPECT_EQ(Since(start), (Lines{"D renamed", "D made", "D directory"}));
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).out, "test: nothing found\n");
}

TEST_F(Changes, AFileThatSettlesMovesFromOneListingToAnother) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  const std::string start = Token();
  SetPolicy("1 /a\n");
  ASSERT_EQ(Tierctl({"reload", ConfigFile()}).code, 0);
  ASSERT_EQ(Tierctl({"settle", ConfigFile()}).code, 0);
  EXPECT_EQ(Since(start, 2), Lines{"D a"});
  EXPECT_EQ(Since(start, 1), Lines{"A a"});
}

TEST_F(Changes, NamesAreBytesAndLinesStayLines) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string start = Token();
  WriteFile(Mnt("line\nbreak"), "");
  WriteFile(Mnt("\xff"), "");
  EXPECT_EQ(Since(start), (Lines{"A line\nbreak", "A \xff"}));
  const Ran text = Tierctl({"changes", "--since", start, ConfigFile()});
  EXPECT_NE(text.out.find("A \"line\\012break\"\n"), std::string::npos) << text.out;
  const json changes = json::parse(Tierctl({"changes", "--json", "--since", start, ConfigFile()}).out);
  EXPECT_EQ(changes["changes"].back()["bytes"], "ff");
}

TEST_F(Changes, ARebuiltDatabaseListsEverything) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  const std::string start = Token();
  Unmount();
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((Base("state/catalog.db") + part).c_str());
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Since(start, 2, 4), (Lines{"A .", "A a"}));
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
}

// A file rewritten with the same bytes, or with changed attributes only, costs a backup no content.
TEST_F(Changes, RewritingTheSameBytesIsAMetadataChange) {
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string text(30000, 'x');
  const std::vector<std::string> names{"rewritten", "other", "longer", "back", "touched", "mode", "replaced", "mapped"};
  for (const std::string& name : names) WriteFile(Mnt(name), text);
  Token();
  json summary = json::object();
  for (int i = 0; i < 300 && summary.value("files", std::size_t{0}) != names.size(); ++i) {
    ::usleep(100'000);
    summary = json::parse(Tierctl({"verify", "--json", ConfigFile()}).out, nullptr, false);
  }
  ASSERT_EQ(summary["files"], names.size()) << "checksums are taken some seconds after the last change";

  WriteFile(Mnt("rewritten"), text);
  WriteFile(Mnt("other"), std::string(29999, 'x') + "y");
  ASSERT_EQ(Shell("printf x >> " + Mnt("longer")).code, 0);
  ASSERT_EQ(Shell("printf more >> " + Mnt("back")).code, 0);
  ASSERT_EQ(::truncate(Mnt("back").c_str(), 30000), 0);
  ASSERT_EQ(Shell("touch -d 2001-01-01 " + Mnt("touched")).code, 0);
  ASSERT_EQ(::chmod(Mnt("mode").c_str(), 0600), 0);
  WriteFile(Mnt("replaced.new"), text);
  ASSERT_EQ(::rename(Mnt("replaced.new").c_str(), Mnt("replaced").c_str()), 0);
  {
    const UniqueFd fd(::open(Mnt("mapped").c_str(), O_RDWR));
    char* map = static_cast<char*>(::mmap(nullptr, text.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
    ASSERT_NE(map, MAP_FAILED);
    map[5] = 'm';
    ::munmap(map, text.size());
  }
  EXPECT_EQ(New(), (Lines{"m rewritten", "M other", "M longer", "m back", "m touched", "m mode", "m replaced", "M mapped"}));
  EXPECT_EQ(New(), Lines{});
}

TEST_F(Changes, AStoreIntoAMappingOfARenamedFileIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* from : {"usr", "etc"}) {
    const std::string name = std::string("from-") + from;
    MakeDirs(Mnt(from));
    WriteFile(Mnt(from) + "/x", std::string(4096, '.'));
    const int fd = ::open((Mnt(from) + "/x").c_str(), O_RDWR);
    char* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
    ASSERT_NE(map, MAP_FAILED);
    ::close(fd);
    // Without passthrough, the mapping keeps the handle open.
    const int kept = Passthrough() ? 0 : 1;
    for (int i = 0; i < 1000 && Status()["daemon"]["open_handles"] != kept; ++i) ::usleep(10'000);
    ASSERT_EQ(::rename((Mnt(from) + "/x").c_str(), Mnt(name).c_str()), 0);
    ASSERT_EQ(TreesWith(name), std::set<int>{2});
    Token();
    map[7] = 'm';
    EXPECT_EQ(New(), Lines{"M " + name}) << "while it is mapped";
    map[8] = 'n';
    ::munmap(map, 4096);
    EXPECT_EQ(New(), Lines{"M " + name});
  }
}

// POSIX leaves this open; Linux truncates.
TEST_F(Changes, ATruncationByAReadOnlyOpenIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("file"), "text");
  Token();
  { const UniqueFd fd(::open(Mnt("file").c_str(), O_RDONLY | O_TRUNC)); }
  EXPECT_EQ(Stat(Mnt("file")).st_size, 0);
  EXPECT_EQ(New(), Lines{"M file"});
}

// The kernel keeps using the first name, without a new lookup.
TEST_F(Changes, AChangeAfterALinkWasRenamedIntoAnotherTierIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("a"), "1");
  ASSERT_EQ(::link(Mnt("a").c_str(), Mnt("b").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("b").c_str(), Mnt("usr/b").c_str()), 0);
  ASSERT_EQ(TreesWith("usr/b"), std::set<int>{4});
  Token();
  ASSERT_EQ(Shell("printf 2 >> " + Mnt("a")).code, 0);
  EXPECT_EQ(New(), Lines{"M a"});
  ASSERT_EQ(Shell("printf 3 >> " + Mnt("usr/b")).code, 0);
  EXPECT_EQ(New(), Lines{"M a"});
}

// A linked file loses a name to a whiteout or to another file.
TEST_F(Changes, AFileThatLosesANameIsListedByItsOtherNames) {
  const std::string lower = AddLower("lower");
  for (const char* name : {"removed", "renamed", "away", "replaced"}) WriteFile(lower + "/" + name, "lower");
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  for (const std::string name : {"removed", "renamed", "away", "replaced"}) {
    ASSERT_EQ(::link(Mnt(name).c_str(), Mnt(name + ".other").c_str()), 0);
  }
  WriteFile(Mnt("new"), "new");
  Token();
  ASSERT_EQ(::unlink(Mnt("removed").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("renamed").c_str(), Mnt("elsewhere").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("away").c_str(), Mnt("usr/away").c_str()), 0);
  ASSERT_EQ(::rename(Mnt("new").c_str(), Mnt("replaced").c_str()), 0);
  EXPECT_EQ(New(), (Lines{"M removed", "m removed.other", "M renamed", "A elsewhere", "m renamed.other", "M away", "m away.other", "D new",
                          "M replaced", "m replaced.other"}));
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).out, "test: nothing found\n");
}

// The kernel has looked up one name of the file; only the catalogue knows the other.
TEST_F(Changes, AChangeAfterTheOpenedNameIsGoneIsListed) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* name : {"a", "m"}) {
    WriteFile(Mnt(name), std::string(4096, '.'));
    ASSERT_EQ(::link(Mnt(name).c_str(), Mnt(std::string(name) + ".other").c_str()), 0);
  }
  Remount();
  UniqueFd fd(::open(Mnt("a").c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::unlink(Mnt("a").c_str()), 0);
  UniqueFd mapped(::open(Mnt("m").c_str(), O_RDWR | O_CLOEXEC));
  char* map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  mapped.Reset();
  ASSERT_EQ(::unlink(Mnt("m").c_str()), 0);
  Token();
  EXPECT_EQ(New(), Lines{});
  ASSERT_EQ(::pwrite(fd.get(), "while it is open", 16, 0), 16);
  map[7] = 'm';
  ASSERT_EQ(::msync(map, 4096, MS_SYNC), 0);
  EXPECT_EQ(New(), (Lines{"M a.other", "M m.other"}));
  ASSERT_EQ(::fchmod(fd.get(), 0600), 0);
  map[8] = 'n';
  ::munmap(map, 4096);
  EXPECT_EQ(New(), (Lines{"M a.other", "M m.other"}));
  ASSERT_EQ(::pwrite(fd.get(), "before its end", 14, 0), 14);
  fd.Reset();
  EXPECT_EQ(New(), Lines{"M a.other"});
  EXPECT_EQ(Tierctl({"check", ConfigFile()}).out, "test: nothing found\n");
}

TEST_F(Changes, BadInputIsRefused) {
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Tierctl({"changes", "--help"}).code, 0);
  EXPECT_EQ(Tierctl({"changes", "--tree", "--tier", "1", Mnt()}).out, Tier(1) + "\n");
  EXPECT_EQ(Tierctl({"changes"}).code, 2);
  EXPECT_EQ(Tierctl({"changes", "--since", "nonsense", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"changes", "--tier", "4", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"changes", "--tier", "x", ConfigFile()}).code, 2);
  EXPECT_EQ(Tierctl({"changes", "/none.toml"}).code, 2);
  EXPECT_EQ(Shell(std::string(TIERCTL_BINARY) + " changes " + ConfigFile() + " >/dev/full").code, 3);
  Unmount();
  const Ran unmounted = Tierctl({"changes", ConfigFile()});
  EXPECT_EQ(unmounted.code, 3);
  EXPECT_NE(unmounted.err.find("not mounted"), std::string::npos);
  AddToConfig("feed = [4]");
  EXPECT_FALSE(Mount());
  EXPECT_NE(Refusal().find("'feed'"), std::string::npos) << Refusal();
}

}  // namespace
}  // namespace tierfs::test
