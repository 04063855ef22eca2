// Named points at which a test kills or pauses the daemon. Nothing is compiled in unless
// TIERFS_FAULTS is defined.
#pragma once

#include <string>

namespace tierfs {

// Fault::Here("settle.published") marks an instant of a multi-step operation. In a test build the
// environment controls it:
//
//   TIERFS_FAULT=settle.published[:3]
//       SIGKILL ends the process at that point (at the third pass).
//   TIERFS_FAULT_TRACE=FILE
//       Every pass appends the point's name to FILE, one a line.
//   TIERFS_FAULT_HOLD=DIRECTORY
//       If the directory holds a file named after the point, NAME, the thread makes NAME.held
//       and waits until the test has removed NAME.
class Fault {
 public:
#ifdef TIERFS_FAULTS
  static void Here(const char* name);
  // Returns the errno with which a test wants this system call to fail, or 0.
  static int Planned(const char* call);
#else
  static void Here(const char* /*name*/) {}
  static int Planned(const char* /*call*/) { return 0; }
#endif
};

#ifdef TIERFS_FAULTS
// During its lifetime, the `number`th call (from 1) that asks Fault::Planned fails with `error`.
// With `lasting`, every later call fails too. Only one object may exist at a time.
class FailCall {
 public:
  FailCall(int number, int error, bool lasting = false);
  ~FailCall();
  FailCall(const FailCall&) = delete;
  FailCall& operator=(const FailCall&) = delete;
  // Returns the call that failed, or "" if there were fewer calls.
  [[nodiscard]] static std::string Failed();
};
#endif

}  // namespace tierfs
