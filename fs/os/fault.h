// Named points at which a test kills the daemon or holds it up. Nothing is compiled in unless the build says TIERFS_FAULTS.
#pragma once

namespace tierfs {

// Fault::Here("settle.published") marks an instant of a multi-step operation. In a test build the environment steers it:
//   TIERFS_FAULT=settle.published[:3]   the process dies by SIGKILL as it passes that point (the third time)
//   TIERFS_FAULT_TRACE=FILE             every pass appends the point's name, a line each
//   TIERFS_FAULT_HOLD=DIRECTORY         who passes a point of which the directory holds a file NAME makes NAME.held and waits there until
//   the
//                                       test has taken NAME away
class Fault {
 public:
#ifdef TIERFS_FAULTS
  static void Here(const char* name);
#else
  static void Here(const char* /*name*/) {}
#endif
};

}  // namespace tierfs
