// The transport of requests: io_uring where it is available, and the reason in the status where it
// is not.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "tests/mount/fixture.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Transport : public MountTest {
 protected:
  [[nodiscard]] json Status() const {
    const Ran ran = Execute({TIERCTL_BINARY, "status", "--json", ConfigFile()});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return json::parse(ran.out)[0]["daemon"];
  }
  // Runs `tierfs` as if the administrator forbade io_uring.
  [[nodiscard]] int MountWithoutRings() const {
    const pid_t child = ::fork();
    if (child == 0) {
      sock_filter steps[] = {
          BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
          BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      };
      const sock_fprog filter{std::size(steps), steps};
      if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) ::_exit(126);
      ::execl(TIERFS_BINARY, TIERFS_BINARY, ConfigFile().c_str(), Mnt().c_str(), "-o", "io_uring=yes", nullptr);
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  }
};

TEST_F(Transport, StatusShowsTheTransportAndTheReason) {
  ASSERT_TRUE(Mount("io_uring=no")) << Refusal();
  EXPECT_EQ(Status()["transport"], "/dev/fuse");
  EXPECT_EQ(Status()["transport_reason"], "switched off by an option");
  const std::string text = Execute({TIERCTL_BINARY, "status", ConfigFile()}).out;
  EXPECT_NE(text.find("  transport    /dev/fuse (no io_uring: switched off by an option), libfuse "), std::string::npos) << text;
  Unmount();
  ASSERT_TRUE(Mount("io_uring=yes")) << Refusal();
  // Without io_uring, the status gives a reason.
  EXPECT_EQ(Status()["transport"], Status()["transport_reason"] == "" ? "io_uring" : "/dev/fuse");
}

TEST_F(Transport, TheMountUsesTheDeviceWhereIoUringIsForbidden) {
  ASSERT_TRUE(Mount("io_uring=yes")) << Refusal();
  const bool possible = Status()["transport"] == "io_uring";
  Unmount();
  ASSERT_EQ(MountWithoutRings(), 0);
  EXPECT_EQ(Status()["transport"], "/dev/fuse");
  if (possible) {
    EXPECT_EQ(Status()["transport_reason"], "io_uring_setup: Operation not permitted");
  }
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  Unmount();
}

}  // namespace
}  // namespace tierfs::test
