// Adds the verbs of tierctl to the command line. Each verb has one file.
#pragma once

#include <string>

#include "tools/command_line.h"

namespace tierfs::tools {

// The exit codes of every verb.
inline constexpr int kOk = 0;
// It ran and found warnings or mismatches.
inline constexpr int kFindings = 1;
inline constexpr int kUsage = 2;   // the command line or a file is wrong
inline constexpr int kCannot = 3;  // the operation failed
// `changes`: the token could not be answered, so everything was listed.
inline constexpr int kFullListing = 4;
inline constexpr int kCorrupt = 5;  // `verify`: content changed without a write

// The result of a verb, which main returns.
struct Outcome {
  int code = kOk;
};

// The verbs, in the order of the help. Add##Name adds one to the app, with its options, help and
// callback.
#define TIERCTL_VERBS(Add)                                                                                                                \
  Add(Status) Add(Where) Add(Explain) Add(Config) Add(Init) Add(Reload) Add(Rescan) Add(Settle) Add(Sync) Add(Changes) Add(Backup)        \
      Add(Verify) Add(Check) Add(Retier) Add(Policy) Add(Log) Add(Show) Add(Diff) Add(Restore) Add(Commit) Add(Push) Add(Git) Add(Bisect) \
          Add(Gate) Add(Snapshot)
#define TIERCTL_DECLARE(Name) void Add##Name(Verb app, Outcome& outcome);
TIERCTL_VERBS(TIERCTL_DECLARE)
#undef TIERCTL_DECLARE

}  // namespace tierfs::tools
