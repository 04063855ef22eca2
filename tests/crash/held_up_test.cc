// A copy is stopped at a named fault point while another process uses the file. The result has to
// show the other process's change. During a copy for a rename only the directory and files opened
// earlier can be used: the kernel holds the file's lock until the daemon replies.
#ifdef TIERFS_FAULTS

#include <fcntl.h>

#include <future>

#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

constexpr auto kBeforeTheCopy = "copy.wanted";
constexpr auto kAfterTheCopy = "copy.made";

// Puts tier 3 on a file system of its own.
class HeldUp : public OverlayTest {
 protected:
  void SetUp() override {
    UseTier(3, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
    SetPolicy("2 *\n3 cache/\n");
    MakeDirs(AddLower("lower") + "/srv");
    WriteFile(lowers().front() + "/srv/low", "lower");
    MakeDirs(Base("hold"));
    ::setenv("TIERFS_FAULT_HOLD", Base("hold").c_str(), 1);
    ASSERT_TRUE(Mount()) << Refusal();
    ::unsetenv("TIERFS_FAULT_HOLD");
    MakeDirs(Mnt("cache"));
    WriteFile(Mnt("srv/file"), "old");
  }
  void TearDown() override {
    for (const char* point : {kBeforeTheCopy, kAfterTheCopy}) LetGo(point);
    if (mover_.valid()) mover_.wait();
    OverlayTest::TearDown();
  }

  // Runs `move` in another thread, which stops at each of these points.
  void Begin(const std::vector<const char*>& points, std::function<int()> move) {
    for (const char* point : points) WriteFile(Base("hold/") + point, "");
    mover_ = std::async(std::launch::async, std::move(move));
  }
  void WaitAt(const char* point) const {
    for (int i = 0; i < 10'000 && !Exists(Base("hold/") + point + ".held"); ++i) ::usleep(1000);
    ASSERT_TRUE(Exists(Base("hold/") + point + ".held")) << point << " was not reached";
  }
  void LetGo(const char* point) const { ::unlink((Base("hold/") + point).c_str()); }
  // Waits for `move` and returns its result.
  int End() { return mover_.get(); }

  [[nodiscard]] std::function<int()> Retier(const std::string& rules) {
    WriteFile(Base("other.tiers"), rules);
    return [this] { return Execute({TIERCTL_BINARY, "retier", "--policy", Base("other.tiers"), ConfigFile()}).code; };
  }
  [[nodiscard]] std::function<int()> Rename(const std::string& from, const std::string& to) {
    return [this, from, to] { return Errno(::rename(Mnt(from).c_str(), Mnt(to).c_str())); };
  }
  [[nodiscard]] std::function<int()> Chmod(const std::string& path) {
    return [this, path] { return Errno(::chmod(Mnt(path).c_str(), 0600)); };
  }

 private:
  std::future<int> mover_;
};

// The truncation happens before the copy, and the daemon does not see the write.
TEST_F(HeldUp, RetierKeepsAWriteAfterATruncationBeforeTheCopy) {
  Begin({kBeforeTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kBeforeTheCopy);
  UniqueFd writer(::open(Mnt("srv/file").c_str(), O_WRONLY | O_TRUNC));
  ASSERT_TRUE(writer);
  LetGo(kBeforeTheCopy);
  EXPECT_EQ(End(), 1);  // the move waits for the close
  ASSERT_EQ(::write(writer.get(), "new text", 8), 8);
  writer.Reset();
  Settled();
  EXPECT_EQ(ReadFile(Mnt("srv/file")), "new text");
  EXPECT_EQ(TreesWith("srv/file"), std::set<int>{3});
}

TEST_F(HeldUp, AnOpenWriterKeepsItsFile) {
  Begin({kAfterTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kAfterTheCopy);
  UniqueFd writer(::open(Mnt("srv/file").c_str(), O_WRONLY | O_APPEND));
  ASSERT_TRUE(writer);
  LetGo(kAfterTheCopy);
  EXPECT_EQ(End(), 1);  // the move waits for the close
  ASSERT_EQ(::write(writer.get(), " and new", 8), 8);
  EXPECT_EQ(ReadFile(Mnt("srv/file")), "old and new");
  writer.Reset();
  Settled();
  EXPECT_EQ(ReadFile(Mnt("srv/file")), "old and new");
  EXPECT_EQ(TreesWith("srv/file"), std::set<int>{3});
}

TEST_F(HeldUp, AChangeOfModeDuringTheCopyIsKept) {
  Begin({kAfterTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kAfterTheCopy);
  ASSERT_EQ(::chmod(Mnt("srv/file").c_str(), 0640), 0);
  ASSERT_EQ(::setxattr(Mnt("srv/file").c_str(), "user.note", "n", 1, 0), 0);
  LetGo(kAfterTheCopy);
  EXPECT_EQ(End(), 0);
  EXPECT_EQ(Stat(Mnt("srv/file")).st_mode & 07777U, 0640U);
  EXPECT_EQ(Xattr(Mnt("srv/file"), "user.note"), "n");
  EXPECT_EQ(TreesWith("srv/file"), std::set<int>{3});
}

TEST_F(HeldUp, AFileThatIsReplacedDuringTheCopyStaysReplaced) {
  Begin({kAfterTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kAfterTheCopy);
  ASSERT_EQ(::unlink(Mnt("srv/file").c_str()), 0);
  WriteFile(Mnt("srv/file"), "replaced");
  LetGo(kAfterTheCopy);
  (void)End();
  EXPECT_EQ(ReadFile(Mnt("srv/file")), "replaced");
}

TEST_F(HeldUp, AFileThatIsRemovedDuringTheCopyDoesNotComeBack) {
  Begin({kAfterTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kAfterTheCopy);
  ASSERT_EQ(::unlink(Mnt("srv/file").c_str()), 0);
  LetGo(kAfterTheCopy);
  EXPECT_EQ(End(), 0);
  EXPECT_FALSE(Exists(Mnt("srv/file")));
  EXPECT_EQ(TreesWith("srv/file"), std::set<int>{});
}

TEST_F(HeldUp, ALinkMadeDuringTheCopyStaysTheSameFile) {
  Begin({kAfterTheCopy}, Retier("2 *\n3 cache/\n3 /srv/file\n"));
  WaitAt(kAfterTheCopy);
  ASSERT_EQ(::link(Mnt("srv/file").c_str(), Mnt("srv/other").c_str()), 0);
  LetGo(kAfterTheCopy);
  (void)End();
  EXPECT_EQ(Stat(Mnt("srv/file")).st_ino, Stat(Mnt("srv/other")).st_ino);
  WriteFile(Mnt("srv/other"), "both");
  EXPECT_EQ(ReadFile(Mnt("srv/file")), "both");
}

TEST_F(HeldUp, ALowerFileCanBeRenamedWhileItIsCopiedUp) {
  Begin({kAfterTheCopy}, Chmod("srv/low"));
  WaitAt(kAfterTheCopy);
  // The rename waits for the copy, then finds the file in its new place.
  auto renamed = std::async(std::launch::async, Rename("srv/low", "srv/moved"));
  ::usleep(50'000);
  LetGo(kAfterTheCopy);
  EXPECT_EQ(End(), 0);
  EXPECT_EQ(renamed.get(), 0);
  EXPECT_EQ(ReadFile(Mnt("srv/moved")), "lower");
  EXPECT_EQ(Stat(Mnt("srv/moved")).st_mode & 07777U, 0600U);
  EXPECT_FALSE(Exists(Mnt("srv/low")));
}

TEST_F(HeldUp, TheDirectoryCanBeRenamedWhileAFileIsCopiedUp) {
  Begin({kAfterTheCopy}, Chmod("srv/low"));
  WaitAt(kAfterTheCopy);
  auto renamed = std::async(std::launch::async, Rename("srv", "cache/srv"));
  ::usleep(50'000);
  LetGo(kAfterTheCopy);
  EXPECT_EQ(End(), 0);
  EXPECT_EQ(renamed.get(), 0);
  Settled();
  EXPECT_EQ(ReadFile(Mnt("cache/srv/low")), "lower");
  EXPECT_EQ(Stat(Mnt("cache/srv/low")).st_mode & 07777U, 0600U);
  EXPECT_EQ(TreesWith("cache/srv/low"), std::set<int>{3});
}

}  // namespace
}  // namespace tierfs::test

#endif
