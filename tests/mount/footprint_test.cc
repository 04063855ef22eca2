// A daemon that knows many files costs a few hundred bytes of memory for each, and no descriptor.
#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A sanitizer keeps freed memory, and adds to memory in use.
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif

class Footprint : public MountTest {
 protected:
  [[nodiscard]] std::size_t ResidentBytes() const {
    std::ifstream status("/proc/" + std::to_string(DaemonPid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("VmRSS:", 0) == 0) return std::stoul(line.substr(6)) * 1024;
    }
    ADD_FAILURE() << "no daemon";
    return 0;
  }
  [[nodiscard]] std::size_t OpenFiles() const {
    const std::filesystem::directory_iterator files("/proc/" + std::to_string(DaemonPid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }
};

// A walk over a million files may cost up to 400 MB: 400 bytes a file.
TEST_F(Footprint, OfAWalkIsSmall) {
  constexpr int kDirectories = 300;
  constexpr int kFiles = 200;
  ASSERT_TRUE(Mount()) << Refusal();
  for (int d = 0; d < kDirectories; ++d) {
    const std::string directory = "usr/share/package-" + std::to_string(d);
    MakeDirs(Tier(4, directory));
    const UniqueFd fd(::open(Tier(4, directory).c_str(), O_PATH | O_CLOEXEC));
    for (int f = 0; f < kFiles; ++f) {
      ASSERT_EQ(::mknodat(fd.get(), ("document-number-" + std::to_string(f)).c_str(), S_IFREG | 0644, 0), 0);
    }
  }
  Remount();
  const std::size_t before = ResidentBytes();
  EXPECT_EQ(Shell("find " + Mnt() + " -type f -size -1 | wc -l").out, std::to_string(kDirectories * kFiles) + "\n");
  const std::size_t after = ResidentBytes();
  if (!kInstrumented) {
    EXPECT_LT(after - before, std::size_t{kDirectories} * kFiles * 400);
  }
  EXPECT_LT(OpenFiles(), 1300U) << "at most 1,024 directories are kept open";
}

TEST_F(Footprint, OfClosedHandlesIsNone) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("warm"), "up");
  const std::size_t before = OpenFiles();
  for (int round = 0; round < 20; ++round) {
    std::vector<UniqueFd> files;
    for (int i = 0; i < 100; ++i) {
      const std::string name = "file" + std::to_string(i);
      files.emplace_back(::open(Mnt(name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
      ASSERT_TRUE(files.back()) << std::strerror(errno);
      if (i % 2 == 0) {
        ASSERT_EQ(::unlink(Mnt(name).c_str()), 0);
      }
    }
  }
  // The kernel reports closed and forgotten files to the daemon a moment later.
  for (int i = 0; i < 300 && OpenFiles() > before + 5; ++i) ::usleep(10'000);
  EXPECT_LE(OpenFiles(), before + 5);
}

}  // namespace
}  // namespace tierfs::test
