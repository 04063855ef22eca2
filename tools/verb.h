// How a verb of tierctl joins the command line. One file a verb.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace tierfs::tools {

// Exit codes of every verb.
inline constexpr int kOk = 0;
inline constexpr int kFindings = 1;     // it ran, and found what it looks for: warnings, mismatches
inline constexpr int kUsage = 2;        // the command line or a file is wrong
inline constexpr int kCannot = 3;       // it could not be done
inline constexpr int kFullListing = 4;  // `changes`: the token could not be answered, everything was listed
inline constexpr int kCorrupt = 5;      // `verify`: content changed that nobody wrote

// What a verb leaves behind for main to return.
struct Outcome {
  int code = kOk;
};

// The verbs, in the order of the help. Add##Verb adds it, with its options, help and callback, to
// the app.
#define TIERCTL_VERBS(Add)                                                                                                           \
  Add(Status) Add(Where) Add(Explain) Add(Config) Add(Init) Add(Reload) Add(Rescan) Add(Settle) Add(Changes) Add(Backup) Add(Verify) \
      Add(Check) Add(Retier) Add(Policy)
#define TIERCTL_DECLARE(Verb) void Add##Verb(CLI::App& app, Outcome& outcome);
TIERCTL_VERBS(TIERCTL_DECLARE)
#undef TIERCTL_DECLARE

}  // namespace tierfs::tools
