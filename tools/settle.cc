// tierctl settle and retier: misplaced files go to the tier that their path belongs to.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <future>
#include <iostream>
#include <thread>

#include "fs/tier/walk.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

using json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(250);
constexpr auto kNotice = std::chrono::milliseconds(20);  // that somebody has interrupted

struct Request {
  std::string mount;
  std::string path;
  std::string policy;  // of retier: a file, instead of the config's policy
  bool dry_run = false;
  bool wait = false;
  bool json = false;
};

volatile std::sig_atomic_t interrupted = 0;

// What the policy would have in another tier, counted in the trees themselves.
json CountMisplaced(const Config& config, const policy::Policy& policy) {
  std::array<std::array<std::pair<std::uint64_t, std::uint64_t>, kTierCount>, kTierCount> found{};
  Progress progress("looking for misplaced files of " + config.name + ":");
  std::uint64_t seen = 0;
  std::string error;
  for (std::size_t tier = 0; tier < kTierCount; ++tier) {
    const Status walked = WalkTree(config.tiers[tier], [&](const WalkedEntry& entry) {
      if (++seen % 10000 == 0) progress.Show(seen);
      if (S_ISDIR(entry.st.st_mode) || entry.whiteout) return;
      const auto home = static_cast<std::size_t>(NumberOf(policy.DecisionFor(entry.path, false).tier) - 1);
      if (home == tier) return;
      auto& [files, bytes] = found[tier][home];
      ++files;
      if (S_ISREG(entry.st.st_mode)) bytes += static_cast<std::uint64_t>(entry.st.st_size);
    });
    if (!walked) error = config.tiers[tier] + ": " + std::strerror(walked.error().code);
  }
  json moves = json::array();
  std::uint64_t all_files = 0;
  std::uint64_t all_bytes = 0;
  for (std::size_t from = 0; from < kTierCount; ++from) {
    for (std::size_t to = 0; to < kTierCount; ++to) {
      const auto [files, bytes] = found[from][to];
      if (files == 0) continue;
      all_files += files;
      all_bytes += bytes;
      moves.push_back({{"from", from + 1}, {"to", to + 1}, {"files", files}, {"bytes", bytes}});
    }
  }
  json report = {{"moves", moves}, {"moved", all_files}, {"bytes", all_bytes}, {"dry_run", true}};
  if (!error.empty()) report["error"] = error;
  return report;
}

void Print(const json& report, bool dry_run) {
  std::vector<std::vector<std::string>> rows{{"from tier", "to tier", "files", "size"}};
  for (const auto& move : report["moves"]) {
    rows.push_back({std::to_string(move["from"].get<int>()), std::to_string(move["to"].get<int>()),
                    std::to_string(move["files"].get<std::uint64_t>()), HumanSize(move["bytes"])});
  }
  if (rows.size() > 1) std::cout << Table(rows, {true, true, true, true});
  std::cout << report["moved"] << " files, " << HumanSize(report["bytes"]) << (dry_run ? " would be moved\n" : " moved\n");
  const auto tell = [&](const char* key, const char* what) {
    if (report.contains(key) && report[key]["files"] != 0) {
      std::cout << report[key]["files"] << " files, " << HumanSize(report[key]["bytes"]) << what << "\n";
    }
  };
  tell("waiting", " are open and on another file system: they move when they are closed");
  tell("linked", " have several names and are on another file system: they stay");
  if (report.value("failed", 0) != 0) std::cout << report["failed"] << " could not be moved; the log says why\n";
  if (report.value("cancelled", false)) std::cout << "interrupted; the same command goes on with it\n";
}

// One line on a terminal's stderr: how far, how fast, how long still.
class MoveProgress {
 public:
  MoveProgress(std::uint64_t files, std::uint64_t bytes) : files_(files), bytes_(bytes) {}
  ~MoveProgress() {
    if (shown_) std::cerr << "\r\033[K" << std::flush;
  }
  MoveProgress(const MoveProgress&) = delete;
  MoveProgress& operator=(const MoveProgress&) = delete;

  void Show(const json& report) {
    if (!terminal_ || !report.value("running", false)) return;
    const double seconds = std::max(0.001, std::chrono::duration<double>(Clock::now() - start_).count());
    const auto files = report.value("moved", std::uint64_t{0});
    const auto bytes = report.value("bytes", std::uint64_t{0});
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

// Has the daemon do it, and watches. Ctrl-C cancels it there.
tl::expected<json, std::string> RunSettle(const Config& config, const Request& request, const json& expected) {
  MoveProgress progress(expected.value("moved", std::uint64_t{0}), expected.value("bytes", std::uint64_t{0}));
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  auto done = std::async(std::launch::async, [&] {
    return Ask(config, {{"verb", "settle"}, {"path", request.path}, {"dry_run", request.dry_run}});
  });
  Clock::time_point next_look = Clock::now() + kLook;
  while (done.wait_for(kNotice) != std::future_status::ready) {
    if (interrupted != 0) {
      // Again until it has ended: the first may have come before the daemon had begun.
      const auto cancelled = Ask(config, {{"verb", "settle-cancel"}});
      if (cancelled) continue;
      std::cerr << cancelled.error() << "\n";
      break;
    }
    if (Clock::now() < next_look) continue;
    next_look = Clock::now() + kLook;
    if (const auto report = Ask(config, {{"verb", "settle-report"}})) progress.Show(*report);
  }
  return done.get();
}

// Until nothing is being settled in the background any more.
tl::expected<void, std::string> WaitForBackground(const Config& config) {
  for (;;) {
    const auto status = Ask(config, {{"verb", "status"}});
    if (!status) return tl::unexpected(status.error());
    if (status->value("settling", 0) == 0 || interrupted != 0) return {};
    std::this_thread::sleep_for(kLook);
  }
}

void Finish(const Request& request, const json& report, Outcome& outcome) {
  if (request.json) {
    PrintJson(report);
  } else {
    Print(report, request.dry_run);
  }
  const bool open = report.contains("waiting") && report["waiting"]["files"] != 0;
  if (report.value("failed", 0) != 0 || report.value("cancelled", false) || open) outcome.code = kFindings;
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
  const auto report = RunSettle(*config, request, watched ? CountMisplaced(*config, *policy.policy) : json::object());
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
  const auto policy = file.empty() ? LoadPolicy(*config) : LoadPolicyFile(file);
  if (!policy.policy) {
    for (const auto& error : policy.errors) std::cerr << error.Headline() << "\n";
    outcome.code = kUsage;
    return;
  }
  json expected = CountMisplaced(*config, *policy.policy);
  if (expected.contains("error")) return Refuse("tierctl: " + expected["error"].get<std::string>(), kCannot, outcome);
  if (request.dry_run) return Finish(request, expected, outcome);
  const auto loaded = Ask(*config, {{"verb", "reload"}, {"policy", file}});
  if (!loaded) return Refuse(loaded.error(), kCannot, outcome);
  const auto report = RunSettle(*config, request, expected);
  if (!report) return Refuse(report.error(), kCannot, outcome);
  Finish(request, *report, outcome);
  if (!file.empty() && !request.json) {
    std::cout << "the next mount goes by the config's own policy again: put " << file << " there if it is to stay\n";
  }
}

}  // namespace

void AddSettle(CLI::App& app, Outcome& outcome) {
  auto* verb = app.add_subcommand("settle", "Moves misplaced files to the tier that their path belongs to");
  auto request = std::make_shared<Request>();
  verb->add_option("MOUNT", request->mount, "config file, mountpoint or name")->required();
  verb->add_option("PATH", request->path, "only what is there and beneath, relative to the mount");
  verb->add_flag("-n,--dry-run", request->dry_run, "only say what would be moved");
  verb->add_flag("--wait", request->wait, "until what renames left to the background is settled too");
  verb->add_flag("--json", request->json, "for programs");
  verb->callback([request, &outcome] { Settle(*request, outcome); });
}

void AddRetier(CLI::App& app, Outcome& outcome) {
  auto* verb = app.add_subcommand(
      "retier", "Takes a changed policy live and moves what it has in another tier; Ctrl-C stops it, the same command goes on");
  auto request = std::make_shared<Request>();
  verb->add_option("MOUNT", request->mount, "config file, mountpoint or name")->required();
  verb->add_option("--policy", request->policy, "this file, instead of the policy that the config names");
  verb->add_flag("-n,--dry-run", request->dry_run, "only say what would be moved, from tier to tier");
  verb->add_flag("--json", request->json, "for programs");
  verb->callback([request, &outcome] { Retier(*request, outcome); });
}

}  // namespace tierfs::tools
