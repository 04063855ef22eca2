// A real mount over lower layers, and the file systems that layers and tiers are on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mount/fixture.h"
#include "tests/mount/snapshot.h"

namespace tierfs::test {

enum class FileSystem { kExt4, kXfs, kBtrfs, kTmpfs };

// Every extent of the file is shared with another file (FIEMAP); by its path in a tree.
bool SharesBlocks(const std::string& path);

// Lower layers are made and filled before Mount. TearDown looks at D2: the kernel's own overlayfs
// over the four tier trees and the lower layers has to show what the mount showed.
class OverlayTest : public MountTest {
 protected:
  void TearDown() override;

  // The next lower layer, beneath those named before: a new directory of this name, or one that is
  // there.
  std::string AddLower(const std::string& name);
  void UseLower(const std::string& directory) { lowers_.push_back(directory); }
  // The directory that is mounted over is the lowest layer; fill it by Mnt() before Mount.
  void UseOver() { over_ = true; }
  [[nodiscard]] const std::vector<std::string>& lowers() const { return lowers_; }

  // Config and mount, as MountTest does it, over the lower layers.
  bool Mount(const std::string& options = "");
  void Remount(const std::string& options = "") {
    Unmount();
    ASSERT_TRUE(Mount(options)) << Refusal();
  }

  // A new file system of a given size in an image file, or in memory, mounted in a directory of its
  // own; unmounted with the test. XFS needs 300 MB, btrfs 110.
  std::string MakeFileSystem(FileSystem kind, int megabytes);
  // A read-only squashfs of what `directory` holds, mounted.
  std::string MakeSquashfs(const std::string& directory);
  // A read-only ext4 that holds what `directory` holds, mounted.
  std::string MakeExt4Image(const std::string& directory);
  // The kernel's overlayfs over `layers`, uppermost first, mounted read-only.
  std::string MountKernelOverlay(const std::vector<std::string>& layers);
  // mount(8) with these arguments on a new directory, which it returns.
  std::string MountAt(const std::vector<std::string>& arguments);

  // Unmounts; then compares what the mount showed (`before`) with what the kernel's overlayfs
  // shows.
  void ExpectKernelShowsTheSame(const Snapshot& before);
  // A test that leaves what overlayfs cannot show the same way says so.
  void SkipKernelComparison() { compare_ = false; }

  // `tierctl status` of this mount.
  [[nodiscard]] nlohmann::json Status() const;
  // Waits for what is settled in the background.
  void Settled() const;
  // Nothing is left of copies beside the trees.
  void ExpectNoWorkFiles() const;

  // The character devices 0:0 in the tier trees: "tier/path", as "3/usr/bin/x".
  [[nodiscard]] std::set<std::string> Whiteouts() const;

 private:
  std::vector<std::string> lowers_;
  bool over_ = false;
  bool configured_ = false;
  bool compare_ = true;
  int mounts_ = 0;
};

}  // namespace tierfs::test
