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

// Each adds its verb, with its options, help and callback, to the app.
void AddStatus(CLI::App& app, Outcome& outcome);
void AddWhere(CLI::App& app, Outcome& outcome);
void AddExplain(CLI::App& app, Outcome& outcome);
void AddConfig(CLI::App& app, Outcome& outcome);
void AddInit(CLI::App& app, Outcome& outcome);
void AddReload(CLI::App& app, Outcome& outcome);
void AddRescan(CLI::App& app, Outcome& outcome);
void AddSettle(CLI::App& app, Outcome& outcome);
void AddChanges(CLI::App& app, Outcome& outcome);
void AddBackup(CLI::App& app, Outcome& outcome);
void AddVerify(CLI::App& app, Outcome& outcome);
void AddCheck(CLI::App& app, Outcome& outcome);
void AddRetier(CLI::App& app, Outcome& outcome);
void AddPolicy(CLI::App& app, Outcome& outcome);

}  // namespace tierfs::tools
