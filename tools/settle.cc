// tierctl settle and retier: move misplaced files to the tier that their path belongs to.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <future>
#include <iostream>
#include <thread>

#include "fs/jobs/misplaced.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

using protocol::SettleReport;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(250);
constexpr auto kNotice = std::chrono::milliseconds(20);  // how soon an interrupt is noticed

struct Request {
  std::string mount;
  std::string path;
  // For retier: a file to use instead of the config's policy.
  std::string policy;
  bool dry_run = false;
  bool wait = false;
  bool json = false;
};

volatile std::sig_atomic_t interrupted = 0;

// Returns a report, in the daemon's form, of the files that a settling would move. The error is one
// line: a tree cannot be read.
tl::expected<SettleReport, std::string> DryReport(const Config& config, const policy::Policy& policy) {
  Progress progress("looking for misplaced files of " + config.name + ":");
  const Misplaced found = CountMisplaced(config, policy, [&progress](std::uint64_t seen) { progress.Show(seen); });
  if (!found.error.empty()) return tl::unexpected("tierctl: " + found.error);
  SettleReport report;
  for (std::size_t from = 0; from < kTierCount; ++from) {
    for (std::size_t to = 0; to < kTierCount; ++to) {
      const auto [files, bytes] = found.moves[from][to];
      if (files == 0) continue;
      report.moved += files;
      report.bytes += bytes;
      report.moves.push_back({static_cast<int>(from) + 1, static_cast<int>(to) + 1, files, bytes});
    }
  }
  return report;
}

void Print(const SettleReport& report, bool dry_run) {
  std::vector<std::vector<std::string>> rows{{"from tier", "to tier", "files", "size"}};
  for (const protocol::Moves& move : report.moves) {
    rows.push_back({std::to_string(move.from), std::to_string(move.to), std::to_string(move.files), HumanSize(move.bytes)});
  }
  if (rows.size() > 1) std::cout << Table(rows, {true, true, true, true});
  std::cout << report.moved << " files, " << HumanSize(report.bytes) << (dry_run ? " would be moved\n" : " moved\n");
  const auto print = [](const protocol::Tally& tally, const char* what) {
    if (tally.files != 0) std::cout << tally.files << " files, " << HumanSize(tally.bytes) << what << "\n";
  };
  print(report.waiting, " are open and on another file system: they move when they are closed");
  print(report.linked, " have several names and are on another file system: they stay");
  if (report.failed != 0) std::cout << report.failed << " could not be moved; the log says why\n";
  if (report.cancelled) std::cout << "interrupted; run the same command again to continue\n";
}

// A status line on a terminal's stderr: progress, speed and time left.
class MoveProgress {
 public:
  MoveProgress(std::uint64_t files, std::uint64_t bytes) : files_(files), bytes_(bytes) {}
  ~MoveProgress() {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
  }
  MoveProgress(const MoveProgress&) = delete;
  MoveProgress& operator=(const MoveProgress&) = delete;

  void Show(const SettleReport& report) {
    if (!terminal_ || !report.running) return;
    const double seconds = std::max(0.001, std::chrono::duration<double>(Clock::now() - start_).count());
    const std::uint64_t files = report.moved;
    const std::uint64_t bytes = report.bytes;
    std::cerr << "\r\033[K" << files << " of " << files_ << " files, " << HumanSize(bytes) << " of " << HumanSize(bytes_) << ", "
              << HumanSize(static_cast<std::uint64_t>(static_cast<double>(bytes) / seconds)) << "/s";
    if (files > 0 && files_ >= files) {
      std::cerr << ", " << static_cast<std::uint64_t>(seconds * static_cast<double>(files_ - files) / static_cast<double>(files))
                << " s left";
    }
    std::cerr << std::flush;
    shown_ = true;
  }

 private:
  const std::uint64_t files_;
  const std::uint64_t bytes_;
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  const Clock::time_point start_ = Clock::now();
  bool shown_ = false;
};

// Has the daemon settle, and shows its progress. Ctrl-C cancels the settling in the daemon.
tl::expected<SettleReport, std::string> RunSettle(const Config& config, const Request& request, const SettleReport& expected) {
  MoveProgress progress(expected.moved, expected.bytes);
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::packaged_task<tl::expected<protocol::SettleReport, std::string>()> settle([config, request] {
    return Ask(config, protocol::Settle{request.path, request.dry_run});
  });
  auto done = settle.get_future();
  // Not joined: a daemon that was stopped meanwhile must not keep an interrupted tierctl.
  std::thread(std::move(settle)).detach();
  Clock::time_point next_look = Clock::now() + kLook;
  while (done.wait_for(kNotice) != std::future_status::ready) {
    if (interrupted != 0) {
      // Repeat until it has ended: the first request may have come before the daemon began.
      const auto cancelled = Ask(config, protocol::CancelSettling{});
      if (cancelled) continue;
      return tl::unexpected(cancelled.error());
    }
    if (Clock::now() < next_look) continue;
    next_look = Clock::now() + kLook;
    if (const auto report = Ask(config, protocol::ReportSettling{})) progress.Show(*report);
  }
  return done.get();
}

// Waits until the daemon has no settling left in the background.
tl::expected<void, std::string> WaitForBackground(const Config& config) {
  for (;;) {
    const auto status = Ask(config, protocol::Status{});
    if (!status) return tl::unexpected(status.error());
    if (status->settling == 0 || interrupted != 0) return {};
    std::this_thread::sleep_for(kLook);
  }
}

void Finish(const Request& request, const SettleReport& report, Outcome& outcome) {
  if (request.json) {
    nlohmann::json document = report;
    document.erase("running");
    document["dry_run"] = request.dry_run;
    PrintJson(document);
  } else {
    Print(report, request.dry_run);
  }
  if (report.failed != 0 || report.cancelled || report.waiting.files != 0) outcome.code = kFindings;
}

void Refuse(const std::string& error, int code, Outcome& outcome) {
  std::cerr << error << "\n";
  outcome.code = code;
}

void Settle(const Request& request, Outcome& outcome) {
  const auto config = FindConfig(request.mount);
  if (!config) return Refuse(config.error(), kUsage, outcome);
  const auto policy = LoadPolicy(*config);
  const bool watched = ::isatty(STDERR_FILENO) != 0 && policy.policy && !request.dry_run;
  // If a tree cannot be counted, only the estimate of the time left is missing.
  const SettleReport expected = watched ? DryReport(*config, *policy.policy).value_or(SettleReport{}) : SettleReport{};
  const auto report = RunSettle(*config, request, expected);
  if (!report) return Refuse(report.error(), kCannot, outcome);
  if (request.wait) {
    if (const auto waited = WaitForBackground(*config); !waited) return Refuse(waited.error(), kCannot, outcome);
  }
  Finish(request, *report, outcome);
}

void Retier(const Request& request, Outcome& outcome) {
  const auto config = FindConfig(request.mount);
  if (!config) return Refuse(config.error(), kUsage, outcome);
  const std::string file = request.policy.empty() ? "" : AbsolutePath(request.policy);
  const auto policy = file.empty() ? LoadPolicy(*config) : LoadPolicy(*config, file);
  if (!policy.policy) {
    for (const auto& error : policy.errors) std::cerr << error.Headline() << "\n";
    outcome.code = kUsage;
    return;
  }
  const auto expected = DryReport(*config, *policy.policy);
  if (!expected) return Refuse(expected.error(), kCannot, outcome);
  if (request.dry_run) {
    // Counted here, from the trees: the daemon's other figures are not known.
    if (!request.json) return Print(*expected, true);
    return PrintJson({{"moves", expected->moves}, {"moved", expected->moved}, {"bytes", expected->bytes}, {"dry_run", true}});
  }
  const auto loaded = Ask(*config, protocol::Reload{file});
  if (!loaded) return Refuse(loaded.error(), kCannot, outcome);
  const auto report = RunSettle(*config, request, *expected);
  if (!report) return Refuse(report.error(), kCannot, outcome);
  Finish(request, *report, outcome);
  if (!file.empty() && !request.json) {
    std::cout << "the next mount uses the config's own policy again: put " << file << " there to keep it\n";
  }
}

}  // namespace

void AddSettle(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("settle", "Moves misplaced files to the tier that their path belongs to");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("PATH", request->path, "only this path and everything beneath it, relative to the mount");
  verb.AddFlag("-n,--dry-run", request->dry_run, "only say what would be moved");
  verb.AddFlag("--wait", request->wait, "also wait until the background has moved the files that renames left misplaced");
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Settle(*request, outcome); });
}

void AddRetier(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb(
      "retier", "Loads a changed policy and moves the files that it puts in another tier; Ctrl-C stops it, the same command continues");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("--policy", request->policy, "this file, instead of the policy that the config names");
  verb.AddFlag("-n,--dry-run", request->dry_run, "only say what would be moved, from tier to tier");
  verb.AddFlag("--json", request->json, "for programs");
  verb.OnRun([request, &outcome] { Retier(*request, outcome); });
}

}  // namespace tierfs::tools
