#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#include <filesystem>

namespace tierfs::test {
namespace fs = std::filesystem;

bool SharesBlocks(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY));
  ::fsync(fd.get());
  alignas(fiemap) char buffer[sizeof(fiemap) + 64 * sizeof(fiemap_extent)] = {};
  auto* map = reinterpret_cast<fiemap*>(buffer);
  map->fm_length = ~0ULL;
  map->fm_extent_count = 64;
  EXPECT_EQ(::ioctl(fd.get(), FS_IOC_FIEMAP, map), 0) << path << ": " << std::strerror(errno);
  bool shared = map->fm_mapped_extents > 0;
  for (unsigned i = 0; i < map->fm_mapped_extents; ++i) {
    shared = shared && (map->fm_extents[i].fe_flags & FIEMAP_EXTENT_SHARED) != 0;
  }
  return shared;
}

void OverlayTest::TearDown() {
  if (IsMounted() && compare_ && !HasFatalFailure()) ExpectKernelShowsTheSame(TakeSnapshot(Mnt()));
  MountTest::TearDown();
}

std::string OverlayTest::AddLower(const std::string& name) {
  const std::string directory = Base("lower-" + name);
  MakeDirs(directory);
  UseLower(directory);
  return directory;
}

bool OverlayTest::Mount(const std::string& options) {
  if (!configured_) {
    std::string list;
    for (const std::string& lower : lowers_) list += "\"" + lower + "\", ";
    if (over_) list += "\"over\"";
    AddToConfig("lower = [" + list + "]");
    configured_ = true;
  }
  return MountTest::Mount(options);
}

std::string OverlayTest::MountAt(const std::vector<std::string>& arguments) {
  const std::string directory = Base("fs" + std::to_string(++mounts_));
  MakeDirs(directory);
  std::vector<std::string> command{"mount"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.push_back(directory);
  const Ran mounted = Execute(command);
  EXPECT_EQ(mounted.code, 0) << mounted.err;
  return directory;
}

std::string OverlayTest::MakeFileSystem(FileSystem kind, int megabytes) {
  const std::string size = std::to_string(megabytes) + "M";
  if (kind == FileSystem::kTmpfs) return MountAt({"-t", "tmpfs", "-o", "size=" + size, "tmpfs"});
  const std::string image = Base("image" + std::to_string(++mounts_));
  WriteFile(image, "");
  EXPECT_EQ(::truncate(image.c_str(), off_t{megabytes} << 20), 0) << std::strerror(errno);
  std::vector<std::string> make;
  if (kind == FileSystem::kExt4) make = {"mkfs.ext4", "-q", "-F", image};
  if (kind == FileSystem::kXfs) make = {"mkfs.xfs", "-q", "-m", "reflink=1", image};
  if (kind == FileSystem::kBtrfs) make = {"mkfs.btrfs", "-q", image};
  const Ran made = Execute(make);
  EXPECT_EQ(made.code, 0) << made.err;
  return MountAt({"-o", "loop", image});
}

std::string OverlayTest::MakeSquashfs(const std::string& directory) {
  const std::string image = Base("image" + std::to_string(++mounts_));
  const Ran made = Execute({"mksquashfs", directory, image, "-quiet", "-no-progress", "-comp", "gzip"});
  EXPECT_EQ(made.code, 0) << made.err;
  return MountAt({"-t", "squashfs", "-o", "loop,ro", image});
}

std::string OverlayTest::MakeExt4Image(const std::string& directory) {
  const std::string made = MakeFileSystem(FileSystem::kExt4, 64);
  const Ran copied = Execute({"cp", "-a", directory + "/.", made});
  EXPECT_EQ(copied.code, 0) << copied.err;
  EXPECT_EQ(::rmdir((made + "/lost+found").c_str()), 0) << std::strerror(errno);
  const Ran remounted = Execute({"mount", "-o", "remount,ro", made});
  EXPECT_EQ(remounted.code, 0) << remounted.err;
  return made;
}

std::string OverlayTest::MountKernelOverlay(const std::vector<std::string>& layers) {
  std::string option = "ro,lowerdir=";
  for (std::size_t i = 0; i < layers.size(); ++i) option += (i == 0 ? "" : ":") + layers[i];
  return MountAt({"-t", "overlay", "-o", option, "overlay"});
}

void OverlayTest::ExpectKernelShowsTheSame(const Snapshot& before) {
  Unmount();
  std::vector<std::string> layers;
  for (int number = 1; number <= 4; ++number) layers.push_back(Tier(number));
  layers.insert(layers.end(), lowers_.begin(), lowers_.end());
  if (over_) layers.push_back(Mnt());
  const std::string shown = MountKernelOverlay(layers);
  const std::string differences = Differences(WithoutDirectoryTimes(before), WithoutDirectoryTimes(TakeSnapshot(shown)));
  EXPECT_EQ(differences, "") << "the kernel's overlayfs shows another tree";
  EXPECT_EQ(UnmountWhenFree(shown), 0);
}

nlohmann::json OverlayTest::Status() const {
  return nlohmann::json::parse(Execute({TIERCTL_BINARY, "status", "--json", ConfigFile()}).out)[0];
}

void OverlayTest::Settled() const {
  // The kernel reports a close to the daemon shortly after close(2) returns.
  Ran settled;
  for (int i = 0; i < 100 && settled.code != 0; ++i) {
    if (i > 0) ::usleep(20'000);
    settled = Execute({TIERCTL_BINARY, "settle", "--wait", ConfigFile()});
  }
  ASSERT_EQ(settled.code, 0) << settled.out << settled.err;
}

void OverlayTest::WaitForHandles(int count) const {
  for (int i = 0; i < 500 && Status()["daemon"]["open_handles"] != count; ++i) ::usleep(10'000);
}

void OverlayTest::ExpectNoWorkFiles() const {
  EXPECT_EQ(Shell("find " + Base("state") + "/work " + Base() + "/.*.tierfs-work " + Base() + "/*/.*.tierfs-work -type f 2>/dev/null").out,
            "");
}

std::set<std::string> OverlayTest::Whiteouts() const {
  std::set<std::string> found;
  for (int number = 1; number <= 4; ++number) {
    std::error_code problem;
    const std::string root = Tier(number);
    for (fs::recursive_directory_iterator it(root, problem), end; it != end; it.increment(problem)) {
      struct stat st {};
      if (::lstat(it->path().c_str(), &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != 0) continue;
      found.insert(std::to_string(number) + it->path().string().substr(root.size()));
    }
  }
  return found;
}

}  // namespace tierfs::test
