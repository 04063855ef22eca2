// How snapshots end or are refused, their hooks, and what they cannot hold.
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>

#include "tests/mount/instant.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

constexpr std::size_t kLarge = std::size_t{300} << 10;

class InstantTestOnExt4 : public InstantTest {
 protected:
  // Writes new files until the disk is full. Returns how much that was.
  std::uint64_t FillDisk(const std::string& name) const {
    const UniqueFd file = Opened(Mnt(name), O_WRONLY | O_CREAT | O_APPEND);
    const std::string bytes(std::size_t{256} << 10, 'f');
    std::uint64_t written = 0;
    for (ssize_t got = 0; (got = ::write(file.get(), bytes.data(), bytes.size())) > 0; written += static_cast<std::uint64_t>(got)) {
    }
    EXPECT_EQ(errno, ENOSPC);
    return written;
  }
};

TEST_F(InstantTestOnExt4, IsLostWhenItsStoreIsFullAndNoWriteFails) {
  UseDisk(FileSystem::kExt4, 200);
  AddToConfig("snapshot.store_limit = \"1M\"");
  MountFilled();
  WriteFile(Mnt("two/old"), Bytes("old", 3 << 20));
  Create();
  const std::string bytes = Bytes("new", 3 << 20);
  Put(Mnt("two/old"), bytes, 0);
  EXPECT_EQ(ReadFile(Mnt("two/old")), bytes);
  const Ran show = Ctl("show");
  EXPECT_EQ(show.code, 1);
  EXPECT_NE(show.out.find("LOST"), std::string::npos) << show.out;
  EXPECT_NE(show.out.find("full"), std::string::npos) << show.out;
  const UniqueFd file(::open(View(2, "two/old").c_str(), O_RDONLY));
  char byte = 0;
  EXPECT_EQ(file ? Errno(::read(file.get(), &byte, 1)) : errno, EIO);
  EXPECT_EQ(Ctl("delete").code, 1);
  const Ran ran = Ctl("run", {"--", "dd", "if=/dev/zero", "of=" + Mnt("two/old"), "bs=1M", "count=3", "conv=notrunc", "status=none"});
  EXPECT_EQ(ran.code, 1) << ran.err;
  EXPECT_NE(ran.err.find("LOST"), std::string::npos) << ran.err;
  EXPECT_FALSE(Standing());
}

TEST_F(InstantTestOnExt4, GivesItsSpaceBackBeforeTheDiskIsFull) {
  UseDisk(FileSystem::kExt4, 64);
  MountFilled();
  WriteFile(Mnt("two/gone"), Bytes("gone", 10 << 20));
  WaitForHandles(0);
  ::sync();
  Create();
  Do("unlink", ::unlink(Mnt("two/gone").c_str()));
  ::sync();
  struct statvfs space {};
  Do("statvfs", ::statvfs(Tier(2).c_str(), &space));
  const std::uint64_t free = std::uint64_t{space.f_bfree} * space.f_bsize;
  std::uint64_t written = FillDisk("two/fill");
  EXPECT_TRUE(Soon([&] { return State()["lost"] != ""; })) << State();
  EXPECT_TRUE(Soon([&] { return (written += FillDisk("two/fill")) > free + (std::uint64_t{8} << 20); })) << written << " of " << free;
  EXPECT_EQ(Ctl("delete").code, 1);
  Do("unlink", ::unlink(Mnt("two/fill").c_str()));
}

TEST_F(InstantTest, DoesNotOutliveTheDaemon) {
  MountFilled();
  WriteFile(Mnt("two/file"), "content");
  Create();
  Put(Mnt("two/file"), "changed", 0);
  KillDaemon();
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_FALSE(IsMountedAtPath());
  const Ran show = Ctl("show");
  EXPECT_EQ(show.code, 0) << show.out << show.err;
  EXPECT_NE(show.out.find("no snapshot"), std::string::npos) << show.out;
  Create();
  EXPECT_EQ(ReadFile(View(2, "two/file")), "changed");
  Unmount();
  EXPECT_FALSE(IsMountedAtPath());
}

// --- hooks

class InstantTestWithHooks : public InstantTest {
 protected:
  void SetUp() override {
    InstantTest::SetUp();
    std::string hooks;
    for (const char* when : {"pre", "hold", "hold2", "post"}) {
      hooks += "{when = \"" + std::string(when).substr(0, 4) + "\", run = [\"/bin/sh\", \"" + Base(when) + "\"]}, ";
      WriteFile(Base(when), "echo " + std::string(when) + " >>" + Base("log"));
    }
    WriteFile(Base("hold"), "echo hold-start >>" + Base("log") + "; echo READY; cat; echo hold-end >>" + Base("log"));
    WriteFile(Base("hold2"), "sleep 0.3; echo READY; cat");
    AddToConfig("snapshot.hook = [" + hooks + "]");
  }
};

TEST_F(InstantTestWithHooks, RunInTheirOrder) {
  MountFilled();
  Create();
  EXPECT_EQ(ReadFile(Base("log")), "pre\nhold-start\nhold-end\npost\n");
}

TEST_F(InstantTestWithHooks, MayPreventIt) {
  WriteFile(Base("pre"), "echo first >&2; echo no database >&2; exit 4");
  MountFilled();
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 3);
  EXPECT_TRUE(IsOneLine(made.err)) << made.err;
  EXPECT_NE(made.err.find("no database"), std::string::npos) << made.err;
  EXPECT_EQ(ReadFile(Base("log")), "post\n");
  EXPECT_FALSE(Standing());
  EXPECT_FALSE(IsMountedAtPath());
}

TEST_F(InstantTestWithHooks, MustHoldThroughTheInstant) {
  WriteFile(Base("hold"), "echo READY; echo lost the lock >&2; exit 5");
  MountFilled();
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 3);
  EXPECT_NE(made.err.find("lost the lock"), std::string::npos) << made.err;
  EXPECT_EQ(ReadFile(Base("log")), "pre\npost\n");
  EXPECT_FALSE(Standing());
  EXPECT_FALSE(IsMountedAtPath());
}

// --- what cannot be held

TEST_F(InstantTest, NamesMappedFiles) {
  MountFilled();
  std::vector<void*> maps;
  for (const char* name : {"two/mapped", "two/x-shm", "three/mapped"}) {
    WriteFile(Mnt(name), std::string(4096, '.'));
    const UniqueFd file = Opened(Mnt(name), O_RDWR);
    maps.push_back(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
    ASSERT_NE(maps.back(), MAP_FAILED);
  }
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 1) << made.out << made.err;
  EXPECT_EQ(Ctl("show").code, 1);
  const json mapped = State()["mapped"];
  ASSERT_EQ(mapped.size(), 1U) << mapped;
  EXPECT_EQ(mapped[0]["path"], Mnt("two/mapped"));
  EXPECT_EQ(mapped[0]["pid"], ::getpid());
  EXPECT_EQ(Ctl("delete").code, 1);
  for (void* const map : maps) ::munmap(map, 4096);
  WaitForHandles(0);
}

TEST_F(InstantTest, NamesAFileThatSendfileChanged) {
  MountFilled();
  WriteFile(Mnt("two/file"), Bytes("old", kLarge));
  WriteFile(Base("source"), Bytes("new", kLarge));
  const UniqueFd source = Opened(Base("source"), O_RDONLY);
  const UniqueFd file = Opened(Mnt("two/file"), O_WRONLY);
  Create();
  ::usleep(20'000);
  EXPECT_EQ(::sendfile(file.get(), source.get(), nullptr, 65536), 65536) << std::strerror(errno);
  if (!Passthrough()) {
    EXPECT_EQ(ReadFile(View(2, "two/file")), Bytes("old", kLarge));
  }
  const Ran deleted = Ctl("delete");
  EXPECT_EQ(deleted.code, Passthrough() ? 1 : 0);
  EXPECT_EQ(deleted.out.find("not held") != std::string::npos, Passthrough()) << deleted.out;
  EXPECT_EQ(deleted.out.find("two/file") != std::string::npos, Passthrough()) << deleted.out;
}

TEST_F(InstantTest, IsRefusedOnAFileSystemThatCannotHold) {
  UseTier(2, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
  MountFilled();
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 3) << made.out;
  EXPECT_TRUE(IsOneLine(made.err)) << made.err;
  EXPECT_FALSE(IsMountedAtPath());
  if (!Passthrough()) return;
  EXPECT_NE(made.err.find("per-file"), std::string::npos) << made.err;
  EXPECT_NE(made.err.find("tier 2"), std::string::npos) << made.err;
}

TEST_F(InstantTest, OfAFileSystemWithoutHandlesIsRefusedAtAnyLevel) {
  AddToConfig("snapshot.at_least = \"per-file\"");
  UseTier(2, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tree");
  MountFilled();
  WriteFile(Mnt("two/file"), "content");
  const Ran made = Ctl("create");
  EXPECT_EQ(made.code, 3) << made.out;
  EXPECT_TRUE(IsOneLine(made.err)) << made.err;
  EXPECT_FALSE(IsMountedAtPath());
}

}  // namespace
}  // namespace tierfs::test
