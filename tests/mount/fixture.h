// A real mount for each test, in a directory of its own.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/mount/guardian.h"

namespace tierfs::test {

// What a command did. Commands run without a shell; output is kept.
struct Ran {
  int code = -1;  // exit code; 128 + signal when killed
  std::string out;
  std::string err;
};
Ran Execute(const std::vector<std::string>& command);
// The same through /bin/sh, for what a user types.
Ran Shell(const std::string& line);

// Files, by plain system calls. Each fails the running test with errno when it cannot.
void WriteFile(const std::string& path, const std::string& content);
std::string ReadFile(const std::string& path);
struct stat Stat(const std::string& path);  // does not follow symlinks
bool Exists(const std::string& path);
std::string Xattr(const std::string& path, const std::string& name);  // "" when absent
std::set<std::string> Names(const std::string& directory);            // without . and ..
void MakeDirs(const std::string& path);

// errno of an operation, 0 when it succeeded: EXPECT_EQ(Errno(::unlink(path)), ENOENT)
inline int Errno(long result) { return result < 0 ? errno : 0; }

// Runs `body` in a child with another identity (user, group, supplementary groups); true when it
// returned true.
bool As(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::function<bool()>& body);

// Four tiers, a policy and a config in a directory of its own on the disk that TIERFS_TEST_DIR
// names (/var/tmp). The environment's TIERFS_TEST_OPTIONS go to every mount, so that the whole
// suite runs with passthrough and without. TearDown unmounts and fails the test when a daemon, a
// mount or a foreign object in a tree is left.
class MountTest : public ::testing::Test {
 protected:
  MountTest();
  ~MountTest() override;
  void TearDown() override;

  [[nodiscard]] std::string Base(const std::string& below = "") const { return Join(base_, below); }
  [[nodiscard]] std::string Mnt(const std::string& path = "") const { return Join(base_ + "/mnt", path); }
  [[nodiscard]] std::string Tier(int number, const std::string& path = "") const {
    return Join(tiers_[static_cast<std::size_t>(number - 1)], path);
  }
  [[nodiscard]] std::string ConfigFile() const { return base_ + "/test.toml"; }
  [[nodiscard]] std::string PolicyFile() const { return base_ + "/test.tiers"; }

  // What the config will say; before Mount.
  void UseTier(int number, const std::string& directory) { tiers_[static_cast<std::size_t>(number - 1)] = directory; }
  void SetPolicy(const std::string& rules) { WriteFile(PolicyFile(), rules); }
  void AddToConfig(const std::string& lines) { extra_ += lines + "\n"; }
  void WriteConfig();

  // `tierctl init` and `tierfs`; true when the mount answers. The message of a refusal is in
  // Refusal().
  bool Mount(const std::string& options = "");
  [[nodiscard]] const std::string& Refusal() const { return refusal_; }
  void Unmount();
  void Remount(const std::string& options = "") {
    Unmount();
    ASSERT_TRUE(Mount(options)) << Refusal();
  }
  [[nodiscard]] bool IsMounted() const { return mounted_; }
  void KillDaemon();  // SIGKILL, and the dead mount is taken away
  [[nodiscard]] int DaemonPid() const;
  [[nodiscard]] bool Passthrough() const;  // of the mount that stands

  // The tiers whose tree has this path, whiteouts not counted.
  [[nodiscard]] std::set<int> TreesWith(const std::string& path) const;
  [[nodiscard]] int TierOf(const std::string& path) const;  // as the mount says, by xattr

 private:
  static std::string Join(const std::string& directory, const std::string& below) {
    return below.empty() ? directory : directory + "/" + below;
  }
  void ExpectCleanTrees() const;

  std::string base_;
  std::unique_ptr<Guardian> guardian_;
  std::array<std::string, 4> tiers_;
  std::string extra_;
  std::string refusal_;
  bool mounted_ = false;
};

}  // namespace tierfs::test
