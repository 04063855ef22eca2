// The setuid and setgid bits of a file end as on the disk beneath it, after each change by each
// user.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <map>

#include "fs/os/unique_fd.h"
#include "tests/mount/parity.h"

namespace tierfs::test {
namespace {

using Operation = std::function<bool(const std::string& path)>;

// Runs `change` on the file, open with these flags.
Operation Through(int flags, const std::function<bool(int fd)>& change) {
  return [=](const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC));
    return fd && change(fd.get());
  };
}

bool WriteAligned(int fd) {
  void* const block = std::aligned_alloc(4096, 4096);
  std::memset(block, 'd', 4096);
  const bool written = ::pwrite(fd, block, 4096, 0) == 4096;
  std::free(block);
  return written;
}

bool Store(int fd) {
  char* const map = static_cast<char*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  if (map == MAP_FAILED) return false;
  map[0] = 'm';
  const bool synced = ::msync(map, 4096, MS_SYNC) == 0;
  return ::munmap(map, 4096) == 0 && synced;
}

const std::map<std::string, Operation>& Changes() {
  static const std::map<std::string, Operation> changes{
      {"write", Through(O_WRONLY, [](int fd) { return ::write(fd, "x", 1) == 1; })},
      {"write of nothing", Through(O_WRONLY, [](int fd) { return ::write(fd, "", 0) == 0; })},
      {"append", Through(O_WRONLY | O_APPEND, [](int fd) { return ::write(fd, "x", 1) == 1; })},
      {"direct write", Through(O_RDWR | O_DIRECT, WriteAligned)},
      {"store", Through(O_RDWR, Store)},
      {"truncation by path", [](const std::string& path) { return ::truncate(path.c_str(), 3) == 0; }},
      {"truncation", Through(O_WRONLY, [](int fd) { return ::ftruncate(fd, 3) == 0; })},
      {"O_TRUNC", Through(O_WRONLY | O_TRUNC, [](int) { return true; })},
      {"O_TRUNC for reading", Through(O_RDONLY | O_TRUNC, [](int) { return true; })},
      {"O_TRUNC and write", Through(O_RDWR | O_TRUNC, [](int fd) { return ::write(fd, "x", 1) == 1; })},
      {"fallocate", Through(O_WRONLY, [](int fd) { return ::fallocate(fd, 0, 0, 9000) == 0; })},
      {"punch", Through(O_WRONLY, [](int fd) { return ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0; })},
      {"copy_file_range", Through(O_RDWR,
                                  [](int fd) {
                                    off_t from = 0;
                                    off_t to = 4096;
                                    return ::copy_file_range(fd, &from, fd, &to, 100, 0) == 100;
                                  })},
      {"chown of nothing", [](const std::string& path) { return ::chown(path.c_str(), -1, -1) == 0; }},
      {"fchown of nothing", Through(O_RDONLY, [](int fd) { return ::fchown(fd, -1, -1) == 0; })},
      {"chown to itself",
       [](const std::string& path) {
         const struct stat st = Stat(path);
         return ::chown(path.c_str(), st.st_uid, st.st_gid) == 0;
       }},
      {"chgrp", [](const std::string& path) { return ::chown(path.c_str(), -1, 50) == 0; }},
      {"chmod", [](const std::string& path) { return ::chmod(path.c_str(), 06767) == 0; }},
      {"utimes", [](const std::string& path) { return ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0) == 0; }},
  };
  return changes;
}

struct User {
  const char* name;
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;
  bool swaps_capability;  // root without CAP_FSETID, another user with it
};

const User kUsers[] = {
    {"root", 0, 0, {}, false},
    {"root without the capability", 0, 0, {}, true},
    {"owner", 1000, 1000, {}, false},
    {"owner in 50", 1000, 1000, {50}, false},
    {"other", 1001, 1001, {}, false},
    {"other in 50", 1001, 1001, {7, 50}, false},
    {"other in 0", 1001, 1001, {0}, false},
    {"other with the capability", 1001, 1001, {}, true},
};

struct CapSets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
};

void SetFsetid(bool on) {
  CapSets caps;
  ::syscall(SYS_capget, &caps.header, caps.data);
  const std::uint32_t bit = 1U << CAP_FSETID;
  caps.data[0].effective = on ? caps.data[0].effective | bit : caps.data[0].effective & ~bit;
  caps.data[0].permitted = on ? caps.data[0].permitted | bit : caps.data[0].permitted & ~bit;
  if (::syscall(SYS_capset, &caps.header, caps.data) != 0) ::_exit(3);
}

// Runs `body` as the user. A user who is not root gets a capability by keeping it over setuid.
bool RunAs(const User& user, const std::function<bool()>& body) {
  if (!user.swaps_capability) return As(user.uid, user.gid, user.groups, body);
  return As(0, 0, user.groups, [&] {
    if (user.uid == 0) {
      SetFsetid(false);
      return body();
    }
    if (::prctl(PR_SET_KEEPCAPS, 1) != 0 || ::setresgid(user.gid, user.gid, user.gid) != 0 ||
        ::setresuid(user.uid, user.uid, user.uid) != 0) {
      return false;
    }
    CapSets caps;
    caps.data[0].permitted = caps.data[0].effective = 1U << CAP_FSETID;
    return ::syscall(SYS_capset, &caps.header, caps.data) == 0 && body();
  });
}

class Setid : public Parity {
 protected:
  // Every change by every user, of a file with these bits and owner.
  void Compare(mode_t mode, uid_t uid, gid_t gid) {
    Same([=](const std::string& dir, std::ostream& seen) {
      const std::string path = dir + "/f";
      for (const User& user : kUsers) {
        for (const auto& [name, change] : Changes()) {
          ::unlink(path.c_str());
          WriteFile(path, std::string(8192, 'c'));
          ASSERT_EQ(::chown(path.c_str(), uid, gid), 0);
          ASSERT_EQ(::chmod(path.c_str(), mode), 0);
          const bool done = RunAs(user, [&, &change = change] { return change(path); });
          seen << user.name << ": " << name << ": " << done << ' ' << std::oct << Stat(path).st_mode << std::dec << ' '
               << Stat(path).st_size << "\n";
        }
      }
    });
  }
};

TEST_F(Setid, BothBitsOnAProgram) { Compare(06777, 1000, 1000); }
TEST_F(Setid, BothBitsWithoutGroupExecution) { Compare(06767, 1000, 1000); }
TEST_F(Setid, BothBitsOfRoot) { Compare(06767, 0, 0); }
TEST_F(Setid, SetuidAlone) { Compare(04767, 1000, 50); }
TEST_F(Setid, SetgidAlone) { Compare(02767, 1000, 50); }
TEST_F(Setid, SetgidOnAProgram) { Compare(02777, 1000, 50); }
TEST_F(Setid, NoBits) { Compare(0777, 1000, 50); }

TEST_F(Setid, OfANewFile) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string path = dir + "/new";
    for (const uid_t uid : {0, 1000}) {
      for (const mode_t mode : {06777, 06767}) {
        seen << As(uid, uid, {},
                   [&] {
                     ::umask(0);
                     const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
                     return ::write(fd.get(), "x", 1) == 1;
                   })
             << ' ' << std::oct << Stat(path).st_mode << std::dec << "\n";
        ::unlink(path.c_str());
      }
    }
  });
}

// The kernel runs a program with the bits that it has cached.
TEST_F(Setid, AChangedProgramDoesNotRunAsItsOwner) {
  Same([](const std::string& dir, std::ostream& seen) {
    const std::string path = dir + "/id";
    for (const int flags : {0, O_DIRECT, O_TRUNC}) {
      Shell("cp /usr/bin/id " + path);
      ::chown(path.c_str(), 1002, 1002);
      ::chmod(path.c_str(), 06777);
      seen << Shell("setpriv --reuid 1001 --regid 1001 --clear-groups " + path + " -u").out;
      const std::string content = ReadFile("/usr/bin/id");
      seen << As(1001, 1001, {}, [&] {
        const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | flags));
        void* const block = std::aligned_alloc(4096, 4096);
        std::memcpy(block, content.data(), 4096);
        if (flags == O_TRUNC) return ::write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size());
        return ::pwrite(fd.get(), block, 4096, 0) == 4096;
      });
      seen << Shell("setpriv --reuid 1001 --regid 1001 --clear-groups " + path + " -u").out;
    }
  });
}

// With passthrough, a write to a file that got the bits while it was open clears them as a write by
// a user outside the group does.
TEST_F(Setid, SetWhileTheFileIsOpen) {
  const bool all = !Passthrough();
  Same([all](const std::string& dir, std::ostream& seen) {
    const std::string path = dir + "/f";
    for (const mode_t mode : {06777, 06767, 02767}) {
      for (const uid_t uid : {1001, 1000, 0}) {
        if (uid != 1001 && !all) continue;
        WriteFile(path, "content");
        ::chmod(path.c_str(), 0777);
        ::chown(path.c_str(), 1000, 1000);
        const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        ::chmod(path.c_str(), mode);
        seen << As(uid, uid, {}, [&] { return ::write(fd.get(), "x", 1) == 1; }) << ' ' << std::oct << Stat(path).st_mode << std::dec
             << "\n";
      }
    }
  });
}

class SetidOfLower : public MountTest {};

TEST_F(SetidOfLower, AChownThatTakesBitsCopiesTheFileUp) {
  MakeDirs(Base("image"));
  WriteFile(Base("image/suid"), "image");
  WriteFile(Base("image/plain"), "image");
  ASSERT_EQ(::chmod(Base("image/suid").c_str(), 06755), 0);
  AddToConfig("lower = [\"" + Base("image") + "\"]");
  ASSERT_TRUE(Mount()) << Refusal();
  const std::string path = Mnt("suid");
  EXPECT_TRUE(As(1000, 1000, {}, [&] { return ::chown(path.c_str(), -1, -1) != 0 && errno == EPERM; }));
  EXPECT_EQ(TreesWith("suid"), std::set<int>{});
  EXPECT_EQ(::chown(Mnt("plain").c_str(), -1, -1), 0);
  EXPECT_EQ(TreesWith("plain"), std::set<int>{});
  EXPECT_EQ(::chown(path.c_str(), 0, 0), 0);
  EXPECT_EQ(Stat(path).st_mode & 07777U, 0755U);
  EXPECT_EQ(TreesWith("suid"), std::set<int>{2});
  EXPECT_EQ(Stat(Base("image/suid")).st_mode & 07777U, 06755U);
}

}  // namespace
}  // namespace tierfs::test
