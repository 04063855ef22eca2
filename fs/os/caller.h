// Makes system calls with the identity of the process that sent the request.
#pragma once

#include <sys/types.h>

#include <vector>

#include "fs/os/result.h"

namespace tierfs {

struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  mode_t umask = 0;
};

// Prepares the process, once, before any worker thread starts. A switch of the file system uid then
// keeps the capabilities; the kernel has already checked the caller's permission on the mount
// (default_permissions). CAP_FSETID leaves the effective set, so that writes and truncations of
// backing files clear suid and sgid as they do for an ordinary user. Harmless without privilege.
[[nodiscard]] Status PrepareIdentitySwitching();

// True if this process may create files with another owner.
[[nodiscard]] bool CanSwitchIdentity();

// During its lifetime, this thread creates files owned by the caller and masked by the caller's
// umask. It makes no system call if the thread already has that identity. The destructor restores
// only the daemon's uid, and nothing that the next ActAs would set anyway.
class ActAs {
 public:
  explicit ActAs(const Caller& caller);
  ~ActAs();
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
};

// During its lifetime, this thread has CAP_FSETID: a chmod or create that the kernel allowed keeps
// its setgid bit.
class KeepSetgid {
 public:
  explicit KeepSetgid(bool wanted);
  ~KeepSetgid();
  KeepSetgid(const KeepSetgid&) = delete;
  KeepSetgid& operator=(const KeepSetgid&) = delete;

 private:
  bool raised_;
};

// Whether the process `pid` has `gid` among its groups, read from /proc. False if the process is
// gone.
[[nodiscard]] bool HasSupplementaryGroup(pid_t pid, gid_t gid);

}  // namespace tierfs
