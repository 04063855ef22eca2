// Named points at which a test kills the daemon or holds it up. Nothing is compiled in unless the
// build says TIERFS_FAULTS.
#pragma once

#include <string>

namespace tierfs {

// Fault::Here("settle.published") marks an instant of a multi-step operation. In a test build the
// environment steers it:
//   TIERFS_FAULT=settle.published[:3]   the process dies by SIGKILL as it passes that point (the third time)
//   TIERFS_FAULT_TRACE=FILE             every pass appends the point's name, a line each
//   TIERFS_FAULT_HOLD=DIRECTORY         who passes a point of which the directory holds a file NAME makes NAME.held and waits there until
//   the
//                                       test has taken NAME away
class Fault {
 public:
#ifdef TIERFS_FAULTS
  static void Here(const char* name);
  // The errno with which a test wants this system call to fail; 0: it does not.
  static int Planned(const char* call);
#else
  static void Here(const char* /*name*/) {}
  static int Planned(const char* /*call*/) { return 0; }
#endif
};

#ifdef TIERFS_FAULTS
// As long as it lives, the `number`th (from 1) of the calls that ask Fault::Planned fails with
// `error`, and with `lasting` every later one too. One at a time.
class FailCall {
 public:
  FailCall(int number, int error, bool lasting = false);
  ~FailCall();
  FailCall(const FailCall&) = delete;
  FailCall& operator=(const FailCall&) = delete;
  // The call that failed; "" when there were not so many.
  [[nodiscard]] static std::string Failed();
};
#endif

}  // namespace tierfs
