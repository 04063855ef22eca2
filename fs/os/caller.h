// Makes system calls with the identity of the process that sent the request.
#pragma once

#include <sys/stat.h>
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

// During its lifetime, this thread works for the caller, who waits.
class Serving {
 public:
  explicit Serving(const Caller& caller);
  ~Serving();
  Serving(const Serving&) = delete;
  Serving& operator=(const Serving&) = delete;
  // The caller that this thread works for; null if there is none.
  [[nodiscard]] static const Caller* Now();

 private:
  const Caller caller_;
};

// Prepares the process, once, before any worker thread starts. A switch of the file system uid then
// keeps the capabilities; the kernel has already checked the caller's permission on the mount
// (default_permissions). CAP_FSETID leaves the effective set, and the process leaves its
// supplementary groups, so that writes and truncations of backing files clear suid and sgid as they
// do for an ordinary user. Harmless without privilege.
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

// Whether the caller has the capability (CAP_*) in the user namespace of the daemon. If its process
// is gone or out of sight, root has it.
[[nodiscard]] bool HasCapability(const Caller& caller, int capability);

// Whether the caller is in the group, or may set a setgid bit without it (CAP_FSETID).
[[nodiscard]] bool InGroupOrCapable(const Caller& caller, gid_t gid);

// The setuid and setgid bits that a change of owner takes from a file (the kernel's
// setattr_should_drop_sgid). None on a directory.
[[nodiscard]] mode_t DroppedByChown(const Caller& caller, const struct stat& st);

// During its lifetime, a chown or a change of the content of the file by this thread takes those
// setuid and setgid bits that it would take if the caller made it. It makes no system call for a
// file without these bits.
class SetidOf {
 public:
  SetidOf(const Caller& caller, const struct stat& st);
  ~SetidOf();
  SetidOf(const SetidOf&) = delete;
  SetidOf& operator=(const SetidOf&) = delete;
  // Whether a change of content takes bits.
  [[nodiscard]] bool Drops() const { return drops_; }

 private:
  bool drops_ = false;
  bool raised_ = false;
};

// Whether the process `pid` has `gid` among its groups, read from /proc. False if the process is
// gone.
[[nodiscard]] bool HasSupplementaryGroup(pid_t pid, gid_t gid);

}  // namespace tierfs
