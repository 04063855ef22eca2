// A real mount over lower layers, and file systems for its layers and tiers.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/mount/fixture.h"
#include "tests/mount/snapshot.h"

namespace tierfs::test {

enum class FileSystem { kExt4, kXfs, kBtrfs, kTmpfs };

// True if every extent of the file is shared with another file (FIEMAP). `path` is in a tree.
bool SharesBlocks(const std::string& path);

// Lower layers are made and filled before Mount. TearDown checks D2: the kernel's own overlayfs
// over the four tier trees and the lower layers has to show the same tree as the mount did.
class OverlayTest : public MountTest {
 protected:
  void TearDown() override;

  // Adds the next lower layer, beneath the earlier ones: a new directory of this name, or an
  // existing directory.
  std::string AddLower(const std::string& name);
  void UseLower(const std::string& directory) { lowers_.push_back(directory); }
  // Makes the directory beneath the mountpoint the lowest layer. Fill it by Mnt() before Mount.
  void UseOver() { over_ = true; }
  [[nodiscard]] const std::vector<std::string>& lowers() const { return lowers_; }

  // Writes the config and mounts like MountTest, over the lower layers.
  bool Mount(const std::string& options = "");
  void Remount(const std::string& options = "") {
    Unmount();
    ASSERT_TRUE(Mount(options)) << Refusal();
  }

  // Makes a file system of this size, in an image file or in memory, and mounts it in a directory
  // of its own. It is unmounted with the test. XFS needs 300 MB, btrfs 110.
  std::string MakeFileSystem(FileSystem kind, int megabytes);
  // Makes and mounts a read-only squashfs with the content of `directory`.
  std::string MakeSquashfs(const std::string& directory);
  // Makes and mounts a read-only ext4 with the content of `directory`.
  std::string MakeExt4Image(const std::string& directory);
  // Mounts the kernel's overlayfs over `layers`, uppermost first, read-only.
  std::string MountKernelOverlay(const std::vector<std::string>& layers);
  // Runs mount(8) with these arguments on a new directory. Returns the directory.
  std::string MountAt(const std::vector<std::string>& arguments);

  // Unmounts, then compares the kernel's overlayfs with `before`, the tree that the mount showed.
  void ExpectKernelShowsTheSame(const Snapshot& before);
  // For a test that leaves a tree which overlayfs shows differently.
  void SkipKernelComparison() { compare_ = false; }

  // The output of `tierctl status` for this mount.
  [[nodiscard]] nlohmann::json Status() const;
  // Waits for the background to settle all files.
  void Settled() const;
  // Waits until the daemon has this number of open files. The kernel reports a close shortly after
  // close(2) returns, and a rename that overtakes the report is that of an open file.
  void WaitForHandles(int count) const;
  // Expects that the work directories are empty.
  void ExpectNoWorkFiles() const;

  // The whiteouts in the tier trees as "tier/path", such as "3/usr/bin/x".
  [[nodiscard]] std::set<std::string> Whiteouts() const;

 private:
  std::vector<std::string> lowers_;
  bool over_ = false;
  bool configured_ = false;
  bool compare_ = true;
  int mounts_ = 0;
};

}  // namespace tierfs::test
