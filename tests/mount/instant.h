// A mount whose config has a place for snapshots: tiers 1 and 2 as they were at one instant.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <functional>
#include <sstream>

#include "fs/os/mount_table.h"
#include "tests/mount/layers.h"

namespace tierfs::test {

// Bytes that tell where they belong.
inline std::string Bytes(const std::string& seed, std::size_t size) {
  std::string bytes;
  bytes.reserve(size + 64);
  while (bytes.size() < size) bytes += seed + std::to_string(bytes.size()) + " ";
  bytes.resize(size);
  return bytes;
}

// Fails the test if a system call failed.
inline void Do(const std::string& what, long result) { EXPECT_GE(result, 0) << what << ": " << std::strerror(errno); }

inline UniqueFd Opened(const std::string& path, int flags) {
  UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  EXPECT_TRUE(file) << path << ": " << std::strerror(errno);
  return file;
}

inline void Put(const UniqueFd& file, const std::string& bytes, off_t at) {
  EXPECT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size())) << std::strerror(errno);
}

inline void Put(const std::string& path, const std::string& bytes, off_t at) { Put(Opened(path, O_WRONLY), bytes, at); }

// Waits for up to five seconds.
inline bool Soon(const std::function<bool()>& done) {
  for (int i = 0; i < 250; ++i) {
    if (done()) return true;
    ::usleep(20'000);
  }
  return false;
}

inline bool IsOneLine(const std::string& text) { return std::count(text.begin(), text.end(), '\n') == 1; }

// Numbers and times that Differences does not compare.
inline std::string DifferentNumbers(const Snapshot& expected, const Snapshot& actual) {
  const auto of = [](const struct timespec& time) { return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec); };
  std::ostringstream out;
  for (const auto& [path, record] : expected) {
    const auto other = actual.find(path);
    if (other == actual.end()) continue;
    const struct stat& a = record.st;
    const struct stat& b = other->second.st;
    if (a.st_ino != b.st_ino) out << path << ": inode " << a.st_ino << " is " << b.st_ino << "\n";
    if (a.st_nlink != b.st_nlink) out << path << ": nlink " << a.st_nlink << " is " << b.st_nlink << "\n";
    if (of(a.st_mtim) != of(b.st_mtim)) out << path << ": mtime " << of(a.st_mtim) << " is " << of(b.st_mtim) << "\n";
    if (of(a.st_ctim) != of(b.st_ctim)) out << path << ": ctime " << of(a.st_ctim) << " is " << of(b.st_ctim) << "\n";
  }
  return out.str();
}

class InstantTest : public OverlayTest {
 protected:
  void SetUp() override {
    SetPolicy("1 /one/\n3 /three/\n4 /four/\n");
    AddToConfig("snapshot.path = \"" + Base("snap") + "\"");
  }

  void UseDisk(FileSystem kind, int megabytes) {
    const std::string disk = MakeFileSystem(kind, megabytes);
    for (int number = 1; number <= 4; ++number) UseTier(number, disk + "/tier" + std::to_string(number));
  }

  void MountFilled() {
    ASSERT_TRUE(Mount()) << Refusal();
    for (const char* directory : {"one", "two", "three"}) MakeDirs(Mnt(directory));
  }

  [[nodiscard]] std::string View(int tier, const std::string& path = "") const {
    return Base("snap/tier" + std::to_string(tier)) + (path.empty() ? "" : "/" + path);
  }

  Ran Ctl(const std::string& verb, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> command{TIERCTL_BINARY, "snapshot", verb, ConfigFile()};
    command.insert(command.end(), more.begin(), more.end());
    return Execute(command);
  }
  void Create() const {
    const Ran made = Ctl("create");
    ASSERT_EQ(made.code, 0) << made.out << made.err;
  }
  void Delete() const {
    const Ran deleted = Ctl("delete");
    ASSERT_EQ(deleted.code, 0) << deleted.out << deleted.err;
  }
  [[nodiscard]] nlohmann::json State() const { return nlohmann::json::parse(Ctl("show", {"--json"}).out); }
  [[nodiscard]] bool Standing() const { return State()["standing"]; }

  [[nodiscard]] bool IsMountedAtPath() const {
    for (const MountEntry& mount : AllMounts()) {
      if (mount.mountpoint == Base("snap")) return true;
    }
    return false;
  }

  void ExpectViewShows(const std::array<Snapshot, 2>& before) const {
    for (int tier = 1; tier <= 2; ++tier) {
      const Snapshot& expected = before[static_cast<std::size_t>(tier - 1)];
      const Snapshot shown = TakeSnapshot(View(tier));
      EXPECT_EQ(Differences(expected, shown), "") << "tier " << tier;
      EXPECT_EQ(DifferentNumbers(expected, shown), "") << "tier " << tier;
    }
  }
  [[nodiscard]] std::array<Snapshot, 2> Trees() const {
    ::sync();
    return {TakeSnapshot(Tier(1)), TakeSnapshot(Tier(2))};
  }
};

}  // namespace tierfs::test
