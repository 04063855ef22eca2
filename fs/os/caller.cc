#include "fs/os/caller.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

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

thread_local const Caller* t_serving = nullptr;

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

// The rest of the line of /proc/PID/status that begins with `key`; "" if the process is gone.
std::string StatusOf(pid_t pid, std::string_view key) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, key.size(), key) == 0) return line.substr(key.size());
  }
  return "";
}

// The inode number of the process's user namespace; 0 if the process is gone.
ino_t UserNamespaceOf(const std::string& process) {
  struct stat st;
  return ::stat(("/proc/" + process + "/ns/user").c_str(), &st) == 0 ? st.st_ino : 0;
}

std::vector<gid_t> GroupsOf(pid_t pid) {
  std::istringstream line(StatusOf(pid, "Groups:"));
  std::vector<gid_t> groups;
  for (gid_t group = 0; line >> group;) groups.push_back(group);
  return groups;
}

// The system call changes the groups of this thread alone.
void SetThreadGroups(gid_t gid, const std::vector<gid_t>& groups) {
  ::setfsgid(gid);
  ::syscall(SYS_setgroups, groups.size(), groups.data());
}

}  // namespace

Serving::Serving(const Caller& caller) : caller_(caller) { t_serving = &caller_; }

Serving::~Serving() { t_serving = nullptr; }

const Caller* Serving::Now() { return t_serving; }

Status PrepareIdentitySwitching() {
  ::umask(0);
  if (::geteuid() != 0) return {};
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits < 0) return FailErrno("prctl(PR_GET_SECUREBITS)");
  if (::prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) != 0) return FailErrno("prctl(PR_SET_SECUREBITS)");
  SetFsetid(false);
  // Fails in a user namespace that forbids it.
  (void)::setgroups(0, nullptr);
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

bool HasCapability(const Caller& caller, int capability) {
  const std::string effective = caller.pid > 0 ? StatusOf(caller.pid, "CapEff:") : "";
  if (effective.empty()) return caller.uid == 0;
  if (((std::stoull(effective, nullptr, 16) >> capability) & 1U) == 0) return false;
  return UserNamespaceOf(std::to_string(caller.pid)) == UserNamespaceOf("self");
}

bool InGroupOrCapable(const Caller& caller, gid_t gid) {
  return caller.gid == gid || HasSupplementaryGroup(caller.pid, gid) || HasCapability(caller, CAP_FSETID);
}

mode_t DroppedByChown(const Caller& caller, const struct stat& st) {
  if (S_ISDIR(st.st_mode)) return 0;
  mode_t dropped = st.st_mode & S_ISUID;
  if ((st.st_mode & S_ISGID) == 0) return dropped;
  const bool executable = (st.st_mode & S_IXGRP) != 0;
  if (executable || !InGroupOrCapable(caller, st.st_gid)) dropped |= S_ISGID;
  return dropped;
}

// The kernel asks for the groups and the capabilities of the thread that makes the call.
SetidOf::SetidOf(const Caller& caller, const struct stat& st) {
  if (!g_can_switch || S_ISDIR(st.st_mode) || (st.st_mode & (S_ISUID | S_ISGID)) == 0) return;
  if (HasCapability(caller, CAP_FSETID)) {
    raised_ = SetFsetid(true);
    return;
  }
  drops_ = true;
  SetThreadGroups(caller.gid, GroupsOf(caller.pid));
}

SetidOf::~SetidOf() {
  if (raised_) SetFsetid(false);
  if (drops_) SetThreadGroups(0, {});
}

bool HasSupplementaryGroup(pid_t pid, gid_t gid) {
  const std::vector<gid_t> groups = GroupsOf(pid);
  return std::find(groups.begin(), groups.end(), gid) != groups.end();
}

}  // namespace tierfs
