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

// The result of a command, with its output. Execute runs a command without a shell.
struct Ran {
  int code = -1;  // the exit code; 128 + signal if the command was killed
  std::string out;
  std::string err;
};
Ran Execute(const std::vector<std::string>& command);
// Runs a line as a user types it, with /bin/sh.
Ran Shell(const std::string& line);

// File operations by plain system calls. A failure fails the running test and prints errno.
void WriteFile(const std::string& path, const std::string& content);
std::string ReadFile(const std::string& path);
struct stat Stat(const std::string& path);  // does not follow symlinks
bool Exists(const std::string& path);
std::string Xattr(const std::string& path, const std::string& name);  // "" when absent
std::set<std::string> Names(const std::string& directory);            // without . and ..
void MakeDirs(const std::string& path);

// The errno of an operation, or 0 if it succeeded: EXPECT_EQ(Errno(::unlink(path)), ENOENT)
inline int Errno(long result) { return result < 0 ? errno : 0; }

// Runs `body` in a child process with another user, group and supplementary groups. Returns true if
// `body` returned true.
bool As(uid_t uid, gid_t gid, const std::vector<gid_t>& groups, const std::function<bool()>& body);

// Four tiers, a policy and a config in a new directory, on the disk that TIERFS_TEST_DIR names
// (/var/tmp by default). Every mount also gets the options in TIERFS_TEST_OPTIONS, so that the
// whole suite can run with passthrough and without. TearDown unmounts. It fails the test if a
// daemon, a mount or a foreign entry in a tree is left.
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

  // The content of the config; call these before Mount.
  void UseTier(int number, const std::string& directory) { tiers_[static_cast<std::size_t>(number - 1)] = directory; }
  void SetPolicy(const std::string& rules) { WriteFile(PolicyFile(), rules); }
  void AddToConfig(const std::string& lines) { extra_ += lines + "\n"; }
  void WriteConfig();

  // Runs `tierctl init` and `tierfs`. Returns true once the mount answers; Refusal() holds the
  // message otherwise.
  bool Mount(const std::string& options = "");
  [[nodiscard]] const std::string& Refusal() const { return refusal_; }
  void Unmount();
  void Remount(const std::string& options = "") {
    Unmount();
    ASSERT_TRUE(Mount(options)) << Refusal();
  }
  [[nodiscard]] bool IsMounted() const { return mounted_; }
  void KillDaemon();  // kills the daemon with SIGKILL and unmounts the dead mount
  [[nodiscard]] int DaemonPid() const;
  [[nodiscard]] bool Passthrough() const;  // of the current mount

  // The tiers that hold this path. Whiteouts do not count.
  [[nodiscard]] std::set<int> TreesWith(const std::string& path) const;
  // The tier that the mount reports, by xattr.
  [[nodiscard]] int TierOf(const std::string& path) const;

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
