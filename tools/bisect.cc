// tierctl bisect: finds the commit of tier 1 that broke something.
#include "fs/jobs/clone/bisect.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <csignal>
#include <ctime>
#include <iomanip>
#include <iostream>
#include <sstream>

#include "fs/os/paths.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

using bisect::Report;
using bisect::Step;
using bisect::Verdict;

struct Request {
  bisect::Request search;
  std::string mount;
  std::vector<int> compared{1, 2};
  bool dry_run = false;
  bool verbose = false;
  bool json = false;
};

constexpr std::size_t kShownLines = 20;

std::atomic<bool> interrupted = false;

void WatchInterrupts() {
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = true; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
}

std::string Short(const std::string& commit) { return commit.substr(0, 12); }

std::string TimeOf(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm local{};
  ::localtime_r(&time, &local);
  std::ostringstream text;
  text << std::put_time(&local, "%Y-%m-%d %H:%M:%S %z");
  return text.str();
}

std::string Seconds(double seconds) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(1) << seconds << " s";
  return text.str();
}

// At least 1 ms, since 0 is no limit.
std::chrono::milliseconds LimitOf(double seconds) {
  constexpr double kMost = 1e9;  // a number, and infinity is one here, that fits
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::ceil((seconds < kMost ? seconds : kMost) * 1000)));
}

const char* NameOf(Verdict verdict) {
  static constexpr const char* kNames[] = {"good", "bad", "skip"};
  return kNames[static_cast<int>(verdict)];
}

const char* NameOf(Report::Answer answer) {
  static constexpr const char* kNames[] = {"found", "good-fails", "bad-passes", "undecided"};
  return kNames[static_cast<int>(answer)];
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(Printable(line));
  return lines;
}

nlohmann::json ToJson(const bisect::CommitDetails& commit) {
  nlohmann::json paths = nlohmann::json::array();
  for (const std::string& path : commit.paths) paths.push_back(path);
  return {{"commit", commit.commit},   {"author", commit.author},   {"time", commit.time}, {"subject", commit.subject},
          {"program", commit.program}, {"paths", std::move(paths)}, {"stat", commit.stat}};
}

nlohmann::json ToJson(const Report& report) {
  nlohmann::json json = {{"answer", NameOf(report.answer)},  {"good", report.range.good},       {"bad", report.range.bad},
                         {"commits", report.range.commits},  {"seconds", report.seconds},       {"culprits", nlohmann::json::array()},
                         {"steps", nlohmann::json::array()}, {"tiers", nlohmann::json::array()}};
  for (const auto& commit : report.culprits) json["culprits"].push_back(ToJson(commit));
  for (const Step& step : report.steps) {
    json["steps"].push_back({{"commit", step.commit},
                             {"verdict", NameOf(step.verdict)},
                             {"end", bisect::Describe(step.ended)},
                             {"seconds", step.seconds},
                             {"output", step.output}});
  }
  for (const auto& tier : report.comparisons) {
    json["tiers"].push_back({{"tier", NumberOf(tier.tier)},
                             {"before", tier.before},
                             {"after", tier.after},
                             {"paths", tier.paths},
                             {"changed_meanwhile", tier.changed}});
  }
  return json;
}

void PrintOutput(const Step& step) {
  const auto lines = Lines(step.output);
  std::cout << "  at " << Short(step.commit) << ": " << bisect::Describe(step.ended) << "\n";
  for (std::size_t i = lines.size() > kShownLines ? lines.size() - kShownLines : 0; i < lines.size(); ++i) {
    std::cout << "  | " << lines[i] << "\n";
  }
}

void Print(const bisect::CommitDetails& commit) {
  std::cout << "  commit   " << commit.commit << "\n  author   " << Printable(commit.author) << "\n  time     " << TimeOf(commit.time)
            << "\n";
  if (!commit.program.empty()) std::cout << "  program  " << Printable(commit.program) << "\n";
  std::cout << "  subject  " << Printable(commit.subject) << "\n";
  for (const std::string& line : Lines(commit.stat)) std::cout << "  " << line << "\n";
}

// Says what was measured, and nothing of tiers that were not.
void PrintComparisons(const Report& report, const Config& config) {
  std::vector<std::string> same;
  for (const auto& tier : report.comparisons) {
    const std::string number = std::to_string(NumberOf(tier.tier));
    std::cout << "tier " << number << " of " << config.name << ": ";
    if (tier.before == tier.after) {
      same.push_back(number);
      std::cout << tier.paths << " paths, hash " << tier.after << "\n";
    } else {
      std::cout << tier.changed << " of " << tier.paths << " paths changed meanwhile; hash " << tier.before << ", then " << tier.after
                << "\n";
    }
  }
  if (same.empty()) return;
  std::cout << (same.size() == 1 ? "tier " : "tiers ") << same.front();
  for (std::size_t i = 1; i < same.size(); ++i) std::cout << (i + 1 == same.size() ? " and " : ", ") << same[i];
  std::cout << (same.size() == 1 ? " is as it was\n" : " are as they were\n");
}

void Print(const Report& report, const Config& config) {
  switch (report.answer) {
    case Report::Answer::kFound:
      std::cout << "the first bad commit of " << report.range.commits << ":\n";
      Print(report.culprits.front());
      break;
    case Report::Answer::kGoodFails:
      std::cout << "the good revision fails too: the cause is older, or not in tier 1\n";
      PrintOutput(report.steps.front());
      break;
    case Report::Answer::kBadPasses:
      std::cout << "the bad revision passes: the cause is not in tier 1\n";
      PrintOutput(report.steps.back());
      break;
    case Report::Answer::kUndecided:
      std::cout << "only commits that the command skips are left; the first bad one is one of these " << report.culprits.size() << ":\n";
      for (const auto& each : report.culprits) std::cout << "  " << Short(each.commit) << "  " << Printable(each.subject) << "\n";
      break;
  }
  std::cout << report.steps.size() << " runs, " << Seconds(report.seconds) << "\n";
  PrintComparisons(report, config);
}

void SayWhatIsPlanned(const bisect::Range& range, bool json) {
  const std::uint64_t runs = range.Runs() + 2;
  if (json) {
    PrintJson({{"dry_run", true}, {"good", range.good}, {"bad", range.bad}, {"commits", range.commits}, {"runs", runs}});
  } else {
    std::cout << "good " << Short(range.good) << ", bad " << Short(range.bad) << ": " << range.commits
              << " commits; would run the command at most " << runs << " times, if none is skipped\n";
  }
}

// Shows the search as it goes: on a terminal a status line, and always a line for each run.
class Display {
 public:
  explicit Display(const Request& request) : request_(request), progress_("") {
    events_.hashing = [this](std::uint64_t tier) { progress_.Show("hashing tier " + std::to_string(tier)); };
    events_.begins = [this](std::uint64_t run, std::uint64_t of, const std::string& commit) {
      step_ = "step " + std::to_string(run) + " of about " + std::to_string(of) + ": " + Short(commit);
      progress_.Show(step_);
    };
    events_.ended = [this](const Step& step) {
      if (request_.json) return;
      progress_.Erase();
      std::cout << step_ << "  " << NameOf(step.verdict) << "  " << bisect::Describe(step.ended) << ", " << Seconds(step.seconds)
                << std::endl;
    };
    if (request.verbose) {
      events_.output = [](std::string_view bytes) { std::cerr.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); };
    }
    events_.cancelled = &interrupted;
  }
  [[nodiscard]] const bisect::Events& events() const { return events_; }

 private:
  const Request& request_;
  Progress progress_;
  std::string step_;
  bisect::Events events_;
};

int Fail(const Config& config, const bisect::Failure& failure) {
  std::cerr << ErrorLine(config, failure.line) << "\n";
  return failure.usage ? kUsage : kCannot;
}

void Bisect(Request& request, Outcome& outcome) {
  const auto config = ConfigFor(request.mount, outcome);
  if (!config) return;
  for (const int tier : request.compared) {
    if (tier > 0) request.search.compared.push_back(static_cast<TierId>(tier));
  }
  if (request.dry_run) {
    const auto range = bisect::FindRange(*config, request.search);
    range ? SayWhatIsPlanned(*range, request.json) : void(outcome.code = Fail(*config, range.error()));
    return;
  }
  WatchInterrupts();
  tl::expected<Report, bisect::Failure> report;
  {
    Display display(request);
    report = bisect::Search(*config, request.search, display.events());
  }
  if (!report) {
    outcome.code = Fail(*config, report.error());
    return;
  }
  request.json ? PrintJson(ToJson(*report)) : Print(*report, *config);
  if (report->answer != Report::Answer::kFound) outcome.code = kFindings;
}

}  // namespace

void AddBisect(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("bisect", "Finds the commit of tier 1 that broke something, by running a command in a clone of the mount");
  auto request = std::make_shared<Request>();
  verb.AddOption("MOUNT", request->mount, "config file, mountpoint or name").Required();
  verb.AddOption("--good", request->search.good, "a revision with which the command succeeds").Required();
  verb.AddOption("--bad", request->search.bad, "a later revision with which it fails").Required();
  verb.AddOption(
          "--timeout", [request](double seconds) { request->search.time_limit = LimitOf(seconds); },
          "seconds for one run; one that takes longer is bad")
      .Positive();
  verb.AddFlag("--empty-state", request->search.empty_state, "with an empty tier 3");
  verb.AddFlag("--network", request->search.network,
               "with the machine's network and services; otherwise a run has a loopback device of its own");
  verb.AddOption("--disk", request->search.space_directory,
                 "a directory for what the command writes, instead of half of the machine's memory; emptied afterwards")
      .ExistingDirectory();
  verb.AddOption("--hash", request->compared, "the tiers that are read and hashed before and after, such as 1,2,4; 0: none")
      .SeparatedBy(',')
      .OneValueEach()  // what follows is the command
      .Between(0, 4)
      .ShowsDefault();
  verb.AddFlag("-v,--verbose", request->verbose, "show the output of the command, on stderr");
  verb.AddFlag("-n,--dry-run", request->dry_run, "only say which commits are in question");
  verb.AddFlag("--json", request->json, "for programs");
  verb.AddOption("COMMAND", request->search.command, "after --: the command and its arguments").Required();
  verb.Footer(
      "Each run sees the mount, at its mountpoint, with tier 1 as it was at one commit (TIERFS_REVISION). The command starts in the\n"
      "mountpoint. It exits with 0 if all is well, 125 if it cannot tell, 1 to 127 if not; anything else ends the search. What it\n"
      "changes in the mount is thrown away, and what it leaves running is killed. It is root without the rights to mount, to trace and\n"
      "to make device files; without --network the sockets of systemd, D-Bus and Docker are not there. The rest of the machine is not\n"
      "protected: device files of disks, a second path to a tier (a bind mount), sockets of other services. Tier 2 is the live one:\n"
      "what programs change there while a run goes on may be seen half done.\n"
      "Revisions are as git knows them, and '@{yesterday}'. Exit code 1: the good revision fails too, the bad one passes, or only\n"
      "skipped commits are left. 3: nothing was found out.");
  verb.OnRun([request, &outcome] { Bisect(*request, outcome); });
}

}  // namespace tierfs::tools
