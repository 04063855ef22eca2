// Immutable and append-only files and directories refuse what they refuse on the disk beneath, with
// the same errno, in every layout of tiers and lower layers.
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <sstream>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

constexpr int kSet = FS_IMMUTABLE_FL | FS_APPEND_FL | FS_NODUMP_FL | FS_NOATIME_FL;

int FlagsOf(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  int flags = 0;
  EXPECT_EQ(::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags), 0) << path << ": " << std::strerror(errno);
  return flags;
}

// Sets the flags `on`, clears the flags `off`, and returns errno.
int Change(const std::string& path, int on, int off) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return errno;
  int flags = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) return errno;
  flags = (flags | on) & ~off;
  return Errno(::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags));
}

struct Operation {
  std::string name;
  std::function<long(const std::string& dir)> run;
};

long Open(const std::string& path, int flags) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  return fd ? 0 : -1;
}

long Utimes(const std::string& path, time_t seconds) {
  const timespec times[2] = {{seconds, 0}, {seconds, 0}};
  return ::utimensat(AT_FDCWD, path.c_str(), seconds == 0 ? nullptr : times, AT_SYMLINK_NOFOLLOW);
}

using Paths = std::vector<std::pair<const char*, const char*>>;

// An operation whose refusal the kernel itself decides by the types of the entries is left out: for
// the mount it compares them before it asks, and on a disk after it has seen the flags.
std::vector<Operation> Operations() {
  std::vector<Operation> all;
  const auto add = [&](const std::string& what, const std::function<long(const std::string& dir)>& run) { all.push_back({what, run}); };
  for (const char* file : {"/d/f"}) {
    const std::string name = file;
    add("unlink " + name, [=](const std::string& dir) { return ::unlink((dir + name).c_str()); });
    add("truncate " + name, [=](const std::string& dir) { return ::truncate((dir + name).c_str(), 1); });
    for (const int mode : {O_RDONLY, O_RDWR}) {
      for (const int more : {0, O_APPEND, O_TRUNC, O_APPEND | O_TRUNC}) {
        add("open " + name + ' ' + std::to_string(mode | more), [=](const std::string& dir) { return Open(dir + name, mode | more); });
      }
    }
  }
  for (const auto& [from, to] : Paths{{"/d/f", "/d/to"},
                                      {"/d/f", "/o/to.conf"},
                                      {"/o/x", "/d/f"},
                                      {"/d/s", "/o/to"},
                                      {"/o/s", "/d/s"},
                                      {"/o/s", "/d/full"},
                                      {"/d", "/o/to"},
                                      {"/d/f.tmp", "/d/to"},
                                      {"/o/x", "/d/f.tmp"},
                                      {"/d/absent", "/d/to"}}) {
    const std::string a = from;
    const std::string b = to;
    for (const unsigned flags : {0U, static_cast<unsigned>(RENAME_EXCHANGE)}) {
      add("rename " + a + ' ' + b + ' ' + std::to_string(flags),
          [=](const std::string& dir) { return ::renameat2(AT_FDCWD, (dir + a).c_str(), AT_FDCWD, (dir + b).c_str(), flags); });
    }
    if (a.find("/s") == std::string::npos && a != "/d") {
      add("link " + a + ' ' + b, [=](const std::string& dir) { return ::link((dir + a).c_str(), (dir + b).c_str()); });
    }
  }
  for (const char* path : {"/d", "/d/s", "/d/full", "/d/absent"}) {
    add(std::string("rmdir ") + path, [=](const std::string& dir) { return ::rmdir((dir + path).c_str()); });
  }
  for (const char* path : {"/d/new", "/d/new.conf", "/d/f"}) {
    const std::string text = path;
    add("create " + text, [=](const std::string& dir) { return Open(dir + text, O_CREAT | O_EXCL | O_WRONLY); });
    add("open or create " + text, [=](const std::string& dir) { return Open(dir + text, O_CREAT | O_RDONLY); });
    add("mkdir " + text, [=](const std::string& dir) { return ::mkdir((dir + text).c_str(), 0755); });
  }
  for (const char* path : {"/d", "/d/f", "/d/s"}) {
    const std::string text = path;
    add("chmod " + text, [=](const std::string& dir) { return ::chmod((dir + text).c_str(), 0700); });
    add("chown " + text, [=](const std::string& dir) { return ::chown((dir + text).c_str(), 0, 50); });
    add("utimes now " + text, [=](const std::string& dir) { return Utimes(dir + text, 0); });
    add("utimes " + text, [=](const std::string& dir) { return Utimes(dir + text, 1000); });
    add("setxattr " + text, [=](const std::string& dir) { return ::setxattr((dir + text).c_str(), "user.new", "1", 1, 0); });
  }
  return all;
}

struct Protection {
  const char* path;
  int flag;
  bool of_directory;
};

const Protection kProtections[] = {{"/d", FS_IMMUTABLE_FL, true},
                                   {"/d", FS_APPEND_FL, true},
                                   {"/d/f", FS_IMMUTABLE_FL, false},
                                   {"/d/f", FS_APPEND_FL, false},
                                   {"/d/s", FS_IMMUTABLE_FL, false}};

// A tree with a directory `d` that may be in several tiers, and a directory `o`.
void Build(const std::string& dir, bool spread) {
  for (const char* each : {"", "/d", "/d/s", "/d/full", "/o", "/o/s"}) {
    ASSERT_EQ(Errno(::mkdir((dir + each).c_str(), 0755)), 0) << dir << each;
    ASSERT_EQ(Errno(::chmod((dir + each).c_str(), 0777)), 0);
  }
  std::vector<std::string> files{"/d/f", "/d/f.tmp", "/d/full/x", "/o/x"};
  if (spread) files.insert(files.end(), {"/d/y.conf", "/d/y.bin", "/d/full/x.tmp"});
  for (const std::string& each : files) {
    WriteFile(dir + each, "content");
    ASSERT_EQ(Errno(::chmod((dir + each).c_str(), 0666)), 0);
  }
  for (const char* each : {"/d", "/d/s", "/d/f", "/d/f.tmp"}) ASSERT_EQ(Errno(::setxattr((dir + each).c_str(), "user.old", "1", 1, 0)), 0);
}

class Protected : public MountTest {
 protected:
  enum class Layout { kOneTier, kSpread, kOverLower, kInLower };

  void SetUp() override { SetPolicy("1 *.conf\n3 *.tmp\n4 *.bin\n"); }
  void TearDown() override {
    Shell("chattr -R -f -i -a " + Mnt() + " " + Base());
    MountTest::TearDown();
  }

  // Runs each operation on each protected tree, on a plain directory and on the mount.
  void Compare(Layout layout) {
    const bool lower = layout == Layout::kOverLower || layout == Layout::kInLower;
    const std::string source = lower ? Base("image") : Mnt();
    const std::string plain = Base("plain");
    MakeDirs(plain);
    if (lower) {
      MakeDirs(source);
      AddToConfig("lower = [\"" + source + "\"]");
    } else {
      ASSERT_TRUE(Mount()) << Refusal();
    }
    const auto operations = Operations();
    const auto each = [&](const std::function<void(const Protection&, const Operation&, const std::string& tree)>& run) {
      int number = 0;
      for (const Protection& protection : kProtections) {
        // No part can be made, and no file copied up, beneath an immutable directory.
        if (lower && protection.of_directory && protection.flag == FS_IMMUTABLE_FL) continue;
        for (const Operation& operation : operations) run(protection, operation, "/t" + std::to_string(++number));
      }
    };
    each([&](const Protection& protection, const Operation&, const std::string& tree) {
      for (const std::string& place : {plain, source}) {
        Build(place + tree, layout != Layout::kOneTier);
        if (layout == Layout::kOverLower && place == source) continue;
        ASSERT_EQ(Change(place + tree + protection.path, protection.flag, 0), 0);
      }
    });
    if (lower) {
      ASSERT_TRUE(Mount()) << Refusal();
    }
    each([&](const Protection& protection, const Operation& operation, const std::string& tree) {
      if (layout == Layout::kOverLower) {
        ASSERT_EQ(Change(Mnt() + tree + protection.path, protection.flag, 0), 0);
      }
      const int expected = Errno(operation.run(plain + tree));
      EXPECT_EQ(Errno(operation.run(Mnt() + tree)), expected)
          << (protection.flag == FS_APPEND_FL ? "+a " : "+i ") << protection.path << ": " << operation.name;
    });
  }
};

TEST_F(Protected, InOneTier) { Compare(Layout::kOneTier); }
TEST_F(Protected, InSeveralTiers) { Compare(Layout::kSpread); }
TEST_F(Protected, OverALowerLayer) { Compare(Layout::kOverLower); }
TEST_F(Protected, InALowerLayer) { Compare(Layout::kInLower); }

TEST_F(Protected, AnAppendOnlyLogIsWritten) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Base("plain"));
  std::string seen[2];
  for (const bool mount : {false, true}) {
    const std::string path = (mount ? Mnt() : Base("plain")) + "/log";
    WriteFile(path, "one ");
    ASSERT_EQ(Change(path, FS_APPEND_FL, 0), 0);
    const UniqueFd reader(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
    std::ostringstream text;
    for (const int mode : {O_WRONLY, O_RDWR}) {
      const UniqueFd log(::open(path.c_str(), mode | O_APPEND | O_CLOEXEC));
      const UniqueFd second(::open(path.c_str(), mode | O_APPEND | O_CLOEXEC));
      text << ::write(log.get(), "two ", 4) << ::write(second.get(), "three ", 6) << ::pwrite(log.get(), "four ", 5, 0);
      text << Errno(::ftruncate(log.get(), 1)) << Errno(::fallocate(log.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1));
      text << ReadFile(path) << Stat(path).st_size << "\n";
    }
    char buffer[64] = {};
    text << ::pread(reader.get(), buffer, sizeof buffer, 0) << buffer << "\n";
    seen[mount ? 1 : 0] = text.str();
  }
  EXPECT_EQ(seen[1], seen[0]);
}

// Page by page, the kernel would write a mapping back through a handle that only appends.
TEST_F(Protected, AnAppendOnlyLogIsNotMappedForWriting) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("log"), "one ");
  ASSERT_EQ(Change(Mnt("log"), FS_APPEND_FL, 0), 0);
  const UniqueFd log(::open(Mnt("log").c_str(), O_RDWR | O_APPEND | O_CLOEXEC));
  EXPECT_EQ(::mmap(nullptr, 4, PROT_READ | PROT_WRITE, MAP_SHARED, log.get(), 0), MAP_FAILED);
  EXPECT_EQ(errno, ENODEV);
  const UniqueFd reader(::open(Mnt("log").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::write(log.get(), "two", 3), 3);
  char buffer[16] = {};
  EXPECT_EQ(::pread(reader.get(), buffer, sizeof buffer, 0), 7);
  EXPECT_STREQ(buffer, "one two");
}

TEST_F(Protected, AMappingFromBeforeTheFlagIsWrittenBackInItsPlace) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("log"), "one ");
  const UniqueFd before(::open(Mnt("log").c_str(), O_RDWR | O_CLOEXEC));
  char* const map = static_cast<char*>(::mmap(nullptr, 4, PROT_READ | PROT_WRITE, MAP_SHARED, before.get(), 0));
  ASSERT_NE(map, MAP_FAILED);
  ASSERT_EQ(Change(Mnt("log"), FS_APPEND_FL, 0), 0);
  const UniqueFd log(::open(Mnt("log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  map[0] = 'O';
  EXPECT_EQ(::msync(map, 4, MS_SYNC), 0) << std::strerror(errno);
  EXPECT_EQ(::write(log.get(), "two", 3), 3);
  map[1] = 'N';
  EXPECT_EQ(::munmap(map, 4), 0);
  EXPECT_EQ(::fsync(before.get()), 0);
  EXPECT_EQ(ReadFile(Tier(2, "log")), "ONe two");
}

// The refused call must not leave a copy without the data.
TEST_F(Protected, ARefusedTruncationOfALowerFileKeepsItsContent) {
  const std::string lower = Base("image");
  MakeDirs(lower);
  AddToConfig("lower = [\"" + lower + "\"]");
  for (const int flag : {FS_APPEND_FL, FS_IMMUTABLE_FL}) {
    const std::string name = flag == FS_APPEND_FL ? "log" : "fixed";
    for (const char* way : {"open", "truncate"}) WriteFile(lower + "/" + name + way, "content");
    for (const char* way : {"open", "truncate"}) ASSERT_EQ(Change(lower + "/" + name + way, flag, 0), 0);
  }
  ASSERT_TRUE(Mount()) << Refusal();
  for (const char* name : {"log", "fixed"}) {
    EXPECT_EQ(Errno(::open(Mnt(std::string(name) + "open").c_str(), O_WRONLY | O_TRUNC)), EPERM);
    EXPECT_EQ(Errno(::truncate(Mnt(std::string(name) + "truncate").c_str(), 1)), EPERM);
    for (const char* way : {"open", "truncate"}) EXPECT_EQ(ReadFile(Mnt(std::string(name) + way)), "content") << name << way;
  }
  for (const std::string& root : {lower, Mnt()}) {
    for (const char* name : {"logopen", "logtruncate", "fixedopen", "fixedtruncate"}) {
      EXPECT_EQ(Change(root + "/" + name, 0, FS_APPEND_FL | FS_IMMUTABLE_FL), 0);
    }
  }
}

TEST_F(Protected, ChattrMovesTheTimeOfTheChange) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("f"), "x");
  MakeDirs(Mnt("d"));
  for (const char* name : {"f", "d"}) {
    const auto before = Stat(Mnt(name));
    ::usleep(20'000);
    ASSERT_EQ(Change(Mnt(name), FS_NODUMP_FL, 0), 0);
    const auto after = Stat(Mnt(name));
    EXPECT_TRUE(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec) << name;
  }
}

TEST_F(Protected, CopyUpKeepsTheFlagsOfAFile) {
  MakeDirs(Base("image"));
  for (const char* name : {"plain", "fixed", "log"}) WriteFile(Base("image/") + name, "image ");
  ASSERT_EQ(Change(Base("image/plain"), FS_NODUMP_FL | FS_NOATIME_FL, 0), 0);
  ASSERT_EQ(Change(Base("image/fixed"), FS_IMMUTABLE_FL | FS_NODUMP_FL, 0), 0);
  ASSERT_EQ(Change(Base("image/log"), FS_APPEND_FL, 0), 0);
  AddToConfig("lower = [\"" + Base("image") + "\"]");
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Open(Mnt("plain"), O_WRONLY), 0);
  EXPECT_EQ(FlagsOf(Tier(2, "plain")) & kSet, FS_NODUMP_FL | FS_NOATIME_FL);
  EXPECT_EQ(Errno(Open(Mnt("fixed"), O_WRONLY)), EPERM);
  EXPECT_EQ(FlagsOf(Mnt("fixed")) & kSet, FS_IMMUTABLE_FL | FS_NODUMP_FL);
  EXPECT_EQ(Open(Mnt("log"), O_WRONLY | O_APPEND), 0);
  EXPECT_EQ(FlagsOf(Tier(2, "log")) & kSet, FS_APPEND_FL);
  ASSERT_EQ(Change(Mnt("fixed"), 0, FS_IMMUTABLE_FL), 0);
  EXPECT_EQ(FlagsOf(Tier(2, "fixed")) & kSet, FS_NODUMP_FL);
  WriteFile(Mnt("fixed"), "changed");
  EXPECT_EQ(ReadFile(Mnt("fixed")), "changed");
}

}  // namespace
}  // namespace tierfs::test
