// Snapshots: tiers 1 and 2 as they were at one instant, while the mount goes on.
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "tests/mount/instant.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

constexpr std::size_t kLarge = std::size_t{300} << 10;
constexpr off_t kMiB = off_t{1} << 20;

// --- everything at once

const std::array<std::string, 4> kOddNames{"#" + std::string(254, '\xff'), "-" + std::string(254, '\xe9'), "two\nlines", "#x"};

class InstantTestOn : public InstantTest, public ::testing::WithParamInterface<FileSystem> {
 protected:
  void SetUp() override {
    InstantTest::SetUp();
    UseDisk(GetParam(), 400);
  }

  void Fill(const std::string& top) const {
    const auto in = [&](const std::string& path) { return Mnt(top + "/" + path); };
    WriteFile(in("empty"), "");
    WriteFile(in("byte"), "x");
    WriteFile(in("small"), Bytes("small", 5000));
    for (const char* name :
         {"by-rw",      "by-wo",    "by-append",  "appended", "shorter",     "longer",    "cut",           "punched",
          "copied",     "unlinked", "over",       "under",    "swapped-1",   "chmod",     "chown",         "utimes",
          "xattr",      "acl",      "setuid",     "moved",    "becomes-dir", "untouched", "open-unlinked", "open-replaced",
          "open-moved", "direct",   "read-first", "linked-1", "elsewhere"}) {
      WriteFile(in(name), Bytes(name, kLarge));
    }
    WriteFile(in("sparse"), "start");
    Put(in("sparse"), Bytes("sparse", 5000), 2 * kMiB);
    Do("truncate", ::truncate(in("sparse").c_str(), 3 * kMiB));
    Do("link", ::link(in("linked-1").c_str(), in("linked-2").c_str()));
    Do("link", ::link(in("elsewhere").c_str(), Mnt("three/" + top + "-link").c_str()));
    Do("symlink", ::symlink("nowhere", in("symlink").c_str()));
    Do("mkfifo", ::mkfifo(in("fifo").c_str(), 0600));
    for (const char* name : {"user.kept", "user.changed", "user.gone"}) Do(name, ::setxattr(in("xattr").c_str(), name, "old", 3, 0));
    EXPECT_EQ(Execute({"setfacl", "-m", "u:1234:rw", in("acl")}).code, 0);
    Do("chmod", ::chmod(in("setuid").c_str(), 04755));
    Do("chmod", ::chmod(in("chmod").c_str(), 0604));
    for (const std::string& name : kOddNames) WriteFile(in(name), name);
    MakeDirs(in("many"));
    for (int i = 0; i < 300; ++i) WriteFile(in("many/" + std::to_string(i)), std::to_string(i));
    for (const char* name : {"dir/sub", "doomed", "swapped-2"}) MakeDirs(in(name));
    for (const char* name : {"dir/sub/deep", "doomed/file", "swapped-2/file"}) WriteFile(in(name), Bytes(name, 5000));
    WriteFile(Mnt("three/" + top + "-comes"), Bytes("comes", kLarge));
  }

  void Change(const std::string& top) const {
    const auto in = [&](const std::string& path) { return Mnt(top + "/" + path); };
    const auto three = [&](const std::string& path) { return Mnt("three/" + top + "-" + path); };
    const auto rename = [](const std::string& from, const std::string& to) { Do("rename to " + to, ::rename(from.c_str(), to.c_str())); };
    Put(Opened(in("appended"), O_WRONLY | O_APPEND), "more", 0);
    Put(in("byte"), "y", 0);
    Do("unlink", ::unlink(in("open-unlinked").c_str()));
    WriteFile(in("replacement"), "new");
    rename(in("replacement"), in("open-replaced"));
    rename(in("open-moved"), three("open-moved"));
    // An access that nothing need be kept for must not hide the next one.
    const UniqueFd first = Opened(in("read-first"), O_RDONLY);
    EXPECT_EQ(ReadFile(in("read-first")), Bytes("read-first", kLarge));
    Put(in("read-first"), "new", 70'000);
    alignas(4096) static const std::array<char, 8192> kZeros{};
    const UniqueFd direct = Opened(in("direct"), O_WRONLY | O_DIRECT);
    EXPECT_EQ(::pwrite(direct.get(), kZeros.data(), kZeros.size(), 131'072), 8192) << std::strerror(errno);
    Put(in("empty"), "no longer", 0);
    Do("truncate", ::truncate(in("shorter").c_str(), 1000));
    Do("truncate", ::truncate(in("longer").c_str(), 2 * kLarge));
    WriteFile(in("cut"), "new");
    Do("fallocate", ::fallocate(Opened(in("punched"), O_RDWR).get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 100'000));
    const UniqueFd from = Opened(in("untouched"), O_RDONLY);
    const UniqueFd into = Opened(in("copied"), O_RDWR);
    off_t at = 8192;
    EXPECT_GT(::copy_file_range(from.get(), nullptr, into.get(), &at, 65536, 0), 0) << std::strerror(errno);
    Put(in("sparse"), "fills a hole", kMiB);
    Do("unlink", ::unlink(in("unlinked").c_str()));
    Do("unlink", ::unlink(in("linked-1").c_str()));
    Put(in("linked-2"), "new", 0);
    rename(in("over"), in("under"));
    Put(in("under"), "new", 0);
    Do("RENAME_EXCHANGE", ::renameat2(AT_FDCWD, in("swapped-1").c_str(), AT_FDCWD, in("swapped-2").c_str(), RENAME_EXCHANGE));
    Put(in("swapped-2"), "new", 5);
    rename(in("dir"), in("dir-2"));
    Put(in("dir-2/sub/deep"), "new", 10);
    WriteFile(in("dir-2/sub/new"), "new");
    Do("unlink", ::unlink(in("doomed/file").c_str()));
    Do("rmdir", ::rmdir(in("doomed").c_str()));
    MakeDirs(in("doomed/again"));
    WriteFile(in("doomed/file"), "another");
    Do("unlink", ::unlink(in("becomes-dir").c_str()));
    MakeDirs(in("becomes-dir"));
    Do("chmod", ::chmod(in("chmod").c_str(), 0777));
    Do("chmod", ::chmod(in("many").c_str(), 0700));
    Do("chown", ::chown(in("chown").c_str(), 1234, 1235));
    Do("lchown", ::lchown(in("symlink").c_str(), 1234, 1235));
    Do("chown", ::chown(in("setuid").c_str(), 1234, 1235));
    const timespec times[2] = {{5, 6}, {7, 8}};
    Do("utimens", ::utimensat(AT_FDCWD, in("utimes").c_str(), times, 0));
    Do("setxattr", ::setxattr(in("xattr").c_str(), "user.changed", "new", 3, 0));
    Do("setxattr", ::setxattr(in("xattr").c_str(), "user.new", "new", 3, 0));
    Do("removexattr", ::removexattr(in("xattr").c_str(), "user.gone"));
    EXPECT_EQ(Execute({"setfacl", "-b", in("acl")}).code, 0);
    for (int i = 0; i < 300; i += 3) Do("unlink", ::unlink(in("many/" + std::to_string(i)).c_str()));
    for (int i = 1; i < 300; i += 3) rename(in("many/" + std::to_string(i)), in("many/new-" + std::to_string(i)));
    Do("unlink", ::unlink(in(kOddNames[0]).c_str()));
    rename(in(kOddNames[1]), in("even"));
    Put(in(kOddNames[2]), "new", 0);
    Do("unlink", ::unlink(in("fifo").c_str()));
    rename(in("moved"), three("moved"));
    Put(three("moved"), "new", 100'000);
    rename(three("comes"), in("comes"));
    Put(in("comes"), "new", 0);
    Put(three("link"), "new", 200'000);
    const UniqueFd nameless = Opened(Mnt(top), O_TMPFILE | O_RDWR);
    Put(nameless, "was nameless", 0);
    const std::string link = "/proc/self/fd/" + std::to_string(nameless.get());
    Do("linkat", ::linkat(AT_FDCWD, link.c_str(), AT_FDCWD, in("named").c_str(), AT_SYMLINK_FOLLOW));
  }
};

TEST_P(InstantTestOn, ShowsTheTiersAsTheyWereWhateverChanges) {
  MountFilled();
  for (const char* top : {"one", "two"}) Fill(top);
  Settled();
  std::vector<UniqueFd> writers;
  for (const std::string top : {"one", "two"}) {
    writers.push_back(Opened(Mnt(top + "/by-wo"), O_WRONLY));
    writers.push_back(Opened(Mnt(top + "/by-append"), O_WRONLY | O_APPEND));
    for (const char* name : {"by-rw", "open-unlinked", "open-replaced", "open-moved"}) {
      writers.push_back(Opened(Mnt(top + "/" + name), O_RDWR));
    }
    writers.push_back(Opened(Mnt("three/" + top + "-link"), O_RDWR));
  }
  const auto before = Trees();
  Create();
  const UniqueFd reader = Opened(View(2, "two/cut"), O_RDONLY);
  for (const char* top : {"one", "two"}) Change(top);
  for (const UniqueFd& file : writers) Put(file, Bytes("new", 5000), 10'000);
  for (const UniqueFd& file : writers) Put(file, "newer", 250'000);
  ExpectViewShows(before);
  std::string read(kLarge, ' ');
  EXPECT_EQ(::pread(reader.get(), read.data(), kLarge, 0), static_cast<ssize_t>(kLarge));
  EXPECT_EQ(read, Bytes("cut", kLarge)) << "of a file that is open";
  EXPECT_GT(State()["kept_bytes"], 0);
  writers.clear();
  ExpectViewShows(before);
  Delete();
  EXPECT_FALSE(IsMountedAtPath());
  EXPECT_EQ(ReadFile(Mnt("two/cut")), "new");
  EXPECT_EQ(ReadFile(Mnt("one/by-rw")).substr(10'000, 4), "new0");
  EXPECT_EQ(ReadFile(Mnt("two/doomed/file")), "another");
  Settled();
  const UniqueFd file = Opened(Mnt("two/by-rw"), O_RDWR);
  const auto later = Trees();
  Create();
  Put(file, Bytes("newest", 5000), 10'000);
  Put(Mnt("one/by-rw"), Bytes("newest", 5000), 10'000);
  ExpectViewShows(later);
  Delete();
}

TEST_P(InstantTestOn, KeepsTheHolesOfASparseFile) {
  MountFilled();
  const std::string path = Mnt("two/sparse");
  WriteFile(path, Bytes("start", 4096));
  Put(path, Bytes("middle", 4096), 2 * kMiB);
  Do("truncate", ::truncate(path.c_str(), 4 * kMiB));
  ::sync();
  const struct stat before = Stat(Tier(2, "two/sparse"));
  Create();
  Put(path, Bytes("new", 100'000), kMiB);
  Put(path, "new", 3 * kMiB);
  ::sync();
  const struct stat shown = Stat(View(2, "two/sparse"));
  EXPECT_EQ(shown.st_size, before.st_size);
  EXPECT_EQ(shown.st_blocks, before.st_blocks);
  const UniqueFd file = Opened(View(2, "two/sparse"), O_RDONLY);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_DATA), 0);
  EXPECT_EQ(::lseek(file.get(), 0, SEEK_HOLE), 4096);
  EXPECT_EQ(::lseek(file.get(), 4096, SEEK_DATA), 2 * kMiB);
  EXPECT_EQ(::lseek(file.get(), 2 * kMiB, SEEK_HOLE), 2 * kMiB + 4096);
  EXPECT_EQ(Errno(::lseek(file.get(), 3 * kMiB, SEEK_DATA)), ENXIO);
}

INSTANTIATE_TEST_SUITE_P(On, InstantTestOn, ::testing::Values(FileSystem::kExt4, FileSystem::kXfs, FileSystem::kBtrfs),
                         [](const auto& kind) {
                           return std::string(kind.param == FileSystem::kExt4 ? "Ext4" : kind.param == FileSystem::kXfs ? "Xfs" : "Btrfs");
                         });

// --- the command

TEST_F(InstantTest, IsReadOnly) {
  MountFilled();
  WriteFile(Mnt("two/file"), "content");
  Create();
  EXPECT_EQ(Errno(::open(View(2, "two/file").c_str(), O_WRONLY)), EROFS);
  EXPECT_EQ(Errno(::unlink(View(2, "two/file").c_str())), EROFS);
  EXPECT_EQ(Errno(::mkdir(View(2, "two/new").c_str(), 0755)), EROFS);
  EXPECT_EQ(ReadFile(View(2, "two/file")), "content");
}

TEST_F(InstantTest, IsRefusedInOneLine) {
  MountFilled();
  const Ran none = Ctl("delete");
  EXPECT_EQ(none.code, 3);
  EXPECT_TRUE(IsOneLine(none.err)) << none.err;
  Create();
  const Ran second = Ctl("create");
  EXPECT_EQ(second.code, 3);
  EXPECT_TRUE(IsOneLine(second.err)) << second.err;
  EXPECT_NE(second.err.find(Base("snap")), std::string::npos) << second.err;
}

class NoInstantTest : public OverlayTest {};

TEST_F(NoInstantTest, WithoutASectionInTheConfig) {
  ASSERT_TRUE(Mount()) << Refusal();
  const Ran made = Execute({TIERCTL_BINARY, "snapshot", "create", ConfigFile()});
  EXPECT_EQ(made.code, 3);
  EXPECT_TRUE(IsOneLine(made.err)) << made.err;
}

TEST_F(InstantTest, LastsAsLongAsACommand) {
  MountFilled();
  WriteFile(Mnt("two/file"), "content");
  const Ran ran = Ctl("run", {"--", "/bin/sh", "-c", "cat \"$TIERFS_SNAPSHOT/tier2/two/file\"; exit 7"});
  EXPECT_EQ(ran.code, 7) << ran.err;
  EXPECT_EQ(ran.out, "content");
  EXPECT_FALSE(IsMountedAtPath());
  EXPECT_EQ(Ctl("run", {"--", "true"}).code, 0);
  EXPECT_EQ(Ctl("run", {"--", "/bin/sh", "-c", "kill -TERM $$"}).code, 128 + SIGTERM);
  EXPECT_EQ(Ctl("run", {"--", "/no/such/program"}).code, 127);
  EXPECT_FALSE(Standing());
  EXPECT_FALSE(IsMountedAtPath());
}

TEST_F(InstantTest, EndsWithTheTierctlThatRunsACommand) {
  MountFilled();
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string script = "echo $$ >" + Base("pid") + "; exec sleep 60 >/dev/null 2>&1";
    ::execl(TIERCTL_BINARY, TIERCTL_BINARY, "snapshot", "run", ConfigFile().c_str(), "--", "/bin/sh", "-c", script.c_str(), nullptr);
    ::_exit(99);
  }
  EXPECT_TRUE(Soon([&] { return Exists(Base("pid")) && ReadFile(Base("pid")).ends_with('\n'); }));
  EXPECT_TRUE(Standing());
  EXPECT_EQ(Ctl("create").code, 3);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(Soon([&] { return !Standing() && !IsMountedAtPath(); }));
  if (const int command = std::atoi(ReadFile(Base("pid")).c_str()); command > 1) ::kill(command, SIGKILL);
  Create();
}

TEST_F(InstantTest, IsDescribedForPrograms) {
  MountFilled();
  EXPECT_EQ(json::parse(Ctl("list", {"--json"}).out), json::array());
  Create();
  const json list = json::parse(Ctl("list", {"--json"}).out);
  ASSERT_EQ(list.size(), 1U);
  for (const json& state : {list[0], State()}) {
    for (const char* key : {"path", "level", "reason", "created", "pause", "owner", "token", "lost", "kept_bytes", "changed_files",
                            "mapped", "torn", "warnings"}) {
      EXPECT_TRUE(state.contains(key)) << key;
    }
    EXPECT_EQ(state["standing"], true);
    EXPECT_EQ(state["path"], Base("snap"));
    EXPECT_EQ(state["level"], "barrier") << state["reason"];
  }
}

// --- while others work

TEST_F(InstantTest, StaysTheSameWhileThreadsChangeEverything) {
  MountFilled();
  for (int i = 0; i < 100; ++i) {
    MakeDirs(Mnt("two/" + std::to_string(i % 5)));
    WriteFile(Mnt("two/" + std::to_string(i % 5) + "/" + std::to_string(i)), Bytes(std::to_string(i), 20'000));
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 8; ++number) {
    threads.emplace_back([&, seed = number]() mutable {
      const auto any = [&] { return Mnt("two/" + std::to_string(::rand_r(&seed) % 5) + "/" + std::to_string(::rand_r(&seed) % 100)); };
      while (!stop) {
        const std::string path = any();
        const int what = ::rand_r(&seed) % 4;
        if (what == 0) (void)::unlink(path.c_str());
        if (what == 1) (void)::rename(path.c_str(), any().c_str());
        const UniqueFd file(what < 2 ? -1 : ::open(path.c_str(), O_RDWR | O_CREAT, 0644));
        const std::string bytes = Bytes(path, 3000);
        if (file) (void)::pwrite(file.get(), bytes.data(), bytes.size(), ::rand_r(&seed) % 30'000);
        if (file && what == 3) (void)::ftruncate(file.get(), ::rand_r(&seed) % 30'000);
      }
    });
  }
  ::usleep(200'000);
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 0) << made.err;
  const Snapshot first = TakeSnapshot(View(2));
  ::usleep(500'000);
  const Snapshot second = TakeSnapshot(View(2));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(first.size(), 5U);
  for (const Snapshot& later : {second, TakeSnapshot(View(2))}) {
    EXPECT_EQ(Differences(first, later), "");
    EXPECT_EQ(DifferentNumbers(first, later), "");
  }
  EXPECT_EQ(Ctl("delete").code, 0);
}

}  // namespace
}  // namespace tierfs::test
