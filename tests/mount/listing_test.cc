// Directories that change while they are read: an entry that stays is listed exactly once.
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

class Listing : public MountTest {
 protected:
  static constexpr int kFiles = 1200;
  void SetUp() override {
    SetPolicy("1 *.conf\n3 *.tmp\n");
    ASSERT_TRUE(Mount()) << Refusal();
    MakeDirs(Mnt("d"));
    const char* const kinds[] = {"", ".conf", ".tmp"};
    for (int i = 0; i < kFiles; ++i) WriteFile(Mnt("d/file-" + std::to_string(i) + kinds[i % 3]), "x");
  }
  static std::string NameOf(const dirent* entry) { return entry->d_name; }
};

TEST_F(Listing, AnEntryThatStaysIsListedExactlyOnce) {
  // Two readers take turns, files come and go, and rescans make the kernel forget its cache.
  DIR* const a = ::opendir(Mnt("d").c_str());
  DIR* const b = ::opendir(Mnt("d").c_str());
  ASSERT_TRUE(a != nullptr && b != nullptr);
  std::multiset<std::string> seen_a;
  std::multiset<std::string> seen_b;
  std::set<std::string> removed;
  int step = 0;
  for (bool more_a = true, more_b = true; more_a || more_b; ++step) {
    for (int i = 0; more_a && i < 100; ++i) {
      const dirent* entry = ::readdir(a);
      more_a = entry != nullptr;
      if (more_a) seen_a.insert(NameOf(entry));
    }
    for (int i = 0; more_b && i < 61; ++i) {
      const dirent* entry = ::readdir(b);
      more_b = entry != nullptr;
      if (more_b) seen_b.insert(NameOf(entry));
    }
    WriteFile(Mnt("d/new-" + std::to_string(step)), "n");
    const std::string victim = "file-" + std::to_string(3 * step);
    if (::unlink(Mnt("d/" + victim).c_str()) == 0) removed.insert(victim);
    if (step % 7 == 0) {
      ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
    }
  }
  ::closedir(a);
  ::closedir(b);
  const std::set<std::string> now = Names(Mnt("d"));
  for (const auto& seen : {seen_a, seen_b}) {
    for (const std::string& name : now) {
      EXPECT_TRUE(name.rfind("file-", 0) != 0 || seen.count(name) == 1) << name;
    }
    for (const std::string& name : seen) EXPECT_EQ(seen.count(name), 1U) << name;
  }
  EXPECT_FALSE(removed.empty());
}

TEST_F(Listing, SeekdirReturnsToTheSameEntry) {
  DIR* const stream = ::opendir(Mnt("d").c_str());
  ASSERT_NE(stream, nullptr);
  std::vector<std::pair<long, std::string>> places;
  for (long at = ::telldir(stream); const dirent* entry = ::readdir(stream); at = ::telldir(stream)) places.emplace_back(at, NameOf(entry));
  ASSERT_EQ(places.size(), kFiles + 2U);
  for (std::size_t i = places.size(); i-- > 0; i -= std::min<std::size_t>(i, 97)) {
    ::seekdir(stream, places[i].first);
    const dirent* entry = ::readdir(stream);
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(NameOf(entry), places[i].second);
  }
  ::rewinddir(stream);
  EXPECT_EQ(NameOf(::readdir(stream)), ".");
  ::closedir(stream);
}

TEST_F(Listing, ADirectoryCanBeRemovedWhileItIsRead) {
  EXPECT_EQ(Shell("rm -r " + Mnt("d")).err, "");
  EXPECT_FALSE(Exists(Mnt("d")));
}

TEST_F(Listing, ARemovedDirectoryListsNothing) {
  MakeDirs(Mnt("gone"));
  WriteFile(Mnt("gone/f"), "x");
  const int fd = ::open(Mnt("gone").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(Shell("rm -r " + Mnt("gone")).code, 0);
  char buffer[4096];
  const long got = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer);
  EXPECT_TRUE(got == 0 || (got < 0 && errno == ENOENT)) << got;
  ::close(fd);
}

TEST_F(Listing, ChangesUnderneathShowAfterARescan) {
  Names(Mnt("d"));
  WriteFile(Tier(2, "d/underneath"), "x");
  ASSERT_EQ(::unlink(Tier(2, "d/file-0").c_str()), 0);
  ASSERT_EQ(Execute({TIERCTL_BINARY, "rescan", ConfigFile()}).code, 0);
  const auto names = Names(Mnt("d"));
  EXPECT_EQ(names.count("underneath"), 1U);
  EXPECT_EQ(names.count("file-0"), 0U);
}

}  // namespace
}  // namespace tierfs::test
