#include "fs/os/caller.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace tierfs {
namespace {

bool g_can_switch = false;

struct CapSets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  bool Load() { return ::syscall(SYS_capget, &header, data) == 0; }
  bool Store() { return ::syscall(SYS_capset, &header, data) == 0; }
  [[nodiscard]] bool Permitted(unsigned cap) const { return (data[cap / 32].permitted >> (cap % 32)) & 1U; }
  void SetEffective(unsigned cap, bool on) {
    const std::uint32_t bit = 1U << (cap % 32);
    if (on) {
      data[cap / 32].effective |= bit;
    } else {
      data[cap / 32].effective &= ~bit;
    }
  }
};

bool SetFsetid(bool on) {
  CapSets caps;
  if (!caps.Load() || !caps.Permitted(CAP_FSETID)) return false;
  caps.SetEffective(CAP_FSETID, on);
  return caps.Store();
}

// The current file system identity of this thread. umask belongs to the fs_struct, which threads
// share until they unshare it.
struct ThreadIdentity {
  bool own_umask = false;
  mode_t umask = 0;
};
thread_local ThreadIdentity t_identity;

}  // namespace

Status PrepareIdentitySwitching() {
  ::umask(0);
  if (::geteuid() != 0) return {};
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits < 0) return FailErrno("prctl(PR_GET_SECUREBITS)");
  if (::prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) != 0) return FailErrno("prctl(PR_SET_SECUREBITS)");
  SetFsetid(false);
  g_can_switch = true;
  return {};
}

bool CanSwitchIdentity() { return g_can_switch; }

ActAs::ActAs(const Caller& caller) {
  if (!t_identity.own_umask) {
    t_identity.own_umask = ::unshare(CLONE_FS) == 0;
    t_identity.umask = 0;
  }
  if (t_identity.own_umask && t_identity.umask != caller.umask) {
    ::umask(caller.umask);
    t_identity.umask = caller.umask;
  }
  if (!g_can_switch) return;
  if (caller.gid != 0) ::setfsgid(caller.gid);
  if (caller.uid != 0) ::setfsuid(caller.uid);
}

ActAs::~ActAs() {
  if (!g_can_switch) return;
  // setfsuid(2) returns the previous id, and -1 changes nothing. A root caller therefore costs no
  // more than two cheap calls.
  if (::setfsuid(static_cast<uid_t>(-1)) != 0) ::setfsuid(0);
  if (::setfsgid(static_cast<gid_t>(-1)) != 0) ::setfsgid(0);
  if (t_identity.own_umask && t_identity.umask != 0) {
    ::umask(0);
    t_identity.umask = 0;
  }
}

KeepSetgid::KeepSetgid(bool wanted) : raised_(wanted && g_can_switch && SetFsetid(true)) {}

KeepSetgid::~KeepSetgid() {
  if (raised_) SetFsetid(false);
}

bool HasSupplementaryGroup(pid_t pid, gid_t gid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("Groups:", 0) != 0) continue;
    std::istringstream groups(line.substr(7));
    for (gid_t group = 0; groups >> group;) {
      if (group == gid) return true;
    }
    return false;
  }
  return false;
}

}  // namespace tierfs
