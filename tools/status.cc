// tierctl status: shows the parts of each mount and how it is served.
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <iostream>
#include <set>

#include "fs/jobs/history/remote.h"
#include "fs/jobs/served_layers.h"
#include "fs/tier/walk.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

nlohmann::json TierStatus(const Config& config, const policy::Policy* policy, int tier, Progress& progress, std::uint64_t& seen) {
  std::set<ino_t> linked;  // files with several names, counted once
  const std::string& path = config.tiers[static_cast<std::size_t>(tier - 1)];
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t misplaced = 0;
  nlohmann::json examples = nlohmann::json::array();
  const Status walked = WalkTree(path, [&](const WalkedEntry& entry) {
    if (S_ISDIR(entry.st.st_mode) || entry.whiteout) return;
    if (entry.st.st_nlink < 2 || linked.insert(entry.st.st_ino).second) {
      ++files;
      bytes += static_cast<std::uint64_t>(entry.st.st_blocks) * 512;
    }
    if (policy != nullptr && NumberOf(policy->DecisionFor(entry.path, false).tier) != tier) {
      ++misplaced;
      if (examples.size() < 10) examples.push_back(entry.path);
    }
    if (++seen % 10000 == 0) progress.Show(seen);
  });
  struct statvfs space {};
  nlohmann::json status = {{"tier", tier},   {"path", path},           {"files", files},
                           {"bytes", bytes}, {"misplaced", misplaced}, {"misplaced_paths", examples}};
  if (!walked) status["error"] = std::string(walked.error().step) + ": " + std::strerror(walked.error().code);
  if (::statvfs(path.c_str(), &space) == 0) status["free"] = std::uint64_t{space.f_bavail} * space.f_frsize;
  return status;
}

nlohmann::json StatusOf(const Config& config, Outcome& outcome) {
  nlohmann::json status = {{"name", config.name}, {"config", config.file}, {"lower", config.lower}};
  if (config.over) status["lower"].push_back("over");
  const auto daemon = AskInJson(config, protocol::ToJson(protocol::Status{}), Patience::kShort);
  status["mounted"] = daemon || FindDaemon(config.state) || !MountpointOf(config).empty();
  status["problems"] = nlohmann::json::array();
  if (daemon) {
    status["daemon"] = *daemon;
    for (const ReplacedLayer& layer : ReplacedLayers(config, daemon->get<protocol::DaemonStatus>())) {
      status["problems"].push_back(layer.Line());
      outcome.code = std::max(outcome.code, kFindings);
    }
    if ((*daemon)["history"]["trouble"] != "" || (*daemon)["snapshot"]["lost"] != "") outcome.code = std::max(outcome.code, kFindings);
  } else if (status["mounted"]) {
    status["problems"].push_back(daemon.error());
    outcome.code = kCannot;
  }
  const policy::ParseResult policy = LoadPolicy(config);
  if (!policy.policy) status["policy_error"] = policy.errors.front().Headline();
  Progress progress("counting files of " + config.name + ":");
  std::uint64_t seen = 0;
  for (int tier = 1; tier <= kTierCount; ++tier) status["tiers"].push_back(TierStatus(config, policy.policy.get(), tier, progress, seen));
  return status;
}

// Describes the kernel's requests since the mount: their sum, and the most frequent kinds.
std::string Requests(const nlohmann::json& requests) {
  std::vector<std::pair<std::uint64_t, std::string>> kinds;
  std::uint64_t sum = 0;
  for (const auto& [name, count] : requests.items()) {
    kinds.emplace_back(count.get<std::uint64_t>(), name);
    sum += kinds.back().first;
  }
  std::sort(kinds.rbegin(), kinds.rend());
  constexpr std::size_t kShown = 5;
  if (kinds.size() > kShown) kinds.resize(kShown);
  std::string text;
  for (const auto& [count, name] : kinds) text += (text.empty() ? " (" : ", ") + std::to_string(count) + " " + name;
  return std::to_string(sum) + text + (text.empty() ? "" : ")");
}

std::string Transport(const nlohmann::json& daemon) {
  const std::string reason = daemon["transport_reason"];
  return daemon["transport"].get<std::string>() + (reason.empty() ? "" : " (no io_uring: " + reason + ")");
}

std::string TimeText(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  std::array<char, 32> text{};
  ::localtime_r(&time, &parts);
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &parts);
  return text.data();
}

void PrintSnapshot(const protocol::SnapshotState& snapshot) {
  if (!snapshot.standing) return;
  std::cout << "  snapshot     at " << Printable(snapshot.path) << ", level " << snapshot.level
            << (snapshot.lost.empty() ? "" : "; LOST: " + Printable(snapshot.lost)) << "\n";
}

void PrintHistory(const protocol::HistoryStatus& history, const std::string& name) {
  if (!history.on) return;
  const auto line = [](const std::string& text) { std::cout << "  history      " << Printable(text) << "\n"; };
  line(history.head.empty() ? "no commit yet"
                            : "commit " + history.head.substr(0, 10) + " of " + TimeText(history.head_time) +
                                  (history.waiting == 0 ? "" : ", " + std::to_string(history.waiting) + " changed paths wait"));
  if (!history.trouble.empty()) line("changes are NOT committed: " + history.trouble);
  if (history.held_count != 0)
    line(std::to_string(history.held_count) + " paths of tier 1 are held back; `tierctl gate list " + name + "` says why");
  if (!history.remote.empty()) {
    const std::string remote = history::Remote(history.remote).address();
    line(history.not_pushed == 0 ? "pushed to " + remote
                                 : std::to_string(history.not_pushed) + " commits are not pushed to " + remote + " since " +
                                       TimeText(history.not_pushed_since));
    if (!history.push_trouble.empty()) line("the last push failed: " + history.push_trouble);
  } else if (!history.in_backup) {
    line(history.repository + " exists once only: set 'remote' in [version], or back it up and set 'in_backup = true'");
  }
}

void Print(const nlohmann::json& status) {
  std::cout << status["name"].get<std::string>() << " (" << status["config"].get<std::string>() << ")\n";
  for (const auto& problem : status["problems"]) std::cout << "  problem      " << Printable(problem.get<std::string>()) << "\n";
  if (status.contains("daemon")) {
    const auto& daemon = status["daemon"];
    std::cout << "  mounted at   " << daemon["mountpoint"].get<std::string>() << ", pid " << daemon["pid"] << "\n"
              << "  passthrough  " << (daemon["passthrough"] ? "on" : "off: " + daemon["passthrough_reason"].get<std::string>()) << "\n"
              << "  transport    " << Transport(daemon) << ", libfuse " << daemon["libfuse"].get<std::string>() << "\n"
              << "  policy       " << daemon["rules"] << " rules\n"
              << "  open files   " << daemon["open_handles"] << " (" << daemon["passthrough_handles"] << " past the daemon), nodes "
              << daemon["nodes"] << "\n"
              << "  requests     " << Requests(daemon["requests"]) << "\n";
    const auto& catalogue = daemon["catalogue"];
    if (catalogue["trouble"] != "") std::cout << "  catalogue    " << Printable(catalogue["trouble"].get<std::string>()) << "\n";
    if (catalogue["feed"]) {
      std::cout << "  changes      "
                << (catalogue["comparing"] ? "comparing the trees with the catalogue, " + catalogue["compared"].dump() + " entries so far"
                                           : std::string("recorded"))
                << "\n";
    } else {
      std::cout << "  changes      not recorded\n";
    }
    for (const auto& note : catalogue["notes"]) std::cout << "  catalogue    " << Printable(note.get<std::string>()) << "\n";
    for (const auto& intent : catalogue["open_intents"]) std::cout << "  under way    " << Printable(intent.get<std::string>()) << "\n";
    PrintHistory(daemon["history"].get<protocol::HistoryStatus>(), status["name"]);
    PrintSnapshot(daemon["snapshot"].get<protocol::SnapshotState>());
    if (daemon["settling"] != 0) std::cout << "  settling     " << daemon["settling"] << " places\n";
    for (const auto& path : daemon["waiting_for_close"]) {
      std::cout << "  open, moves to its tier when closed: " << Printable(path.get<std::string>()) << "\n";
    }
  } else if (!status["mounted"]) {
    std::cout << "  not mounted\n";
  }
  if (status.contains("policy_error")) std::cout << "  policy error " << status["policy_error"].get<std::string>() << "\n";
  for (const auto& lower : status["lower"]) std::cout << "  lower        " << lower.get<std::string>() << "\n";
  std::vector<std::vector<std::string>> rows{{"  tier", "files", "size", "free", "misplaced", "path"}};
  static constexpr const char* kNames[] = {"build", "data", "state", "bulk"};
  for (const auto& tier : status["tiers"]) {
    const int number = tier["tier"];
    rows.push_back({"  " + std::to_string(number) + " " + kNames[number - 1], std::to_string(tier["files"].get<std::uint64_t>()),
                    HumanSize(tier["bytes"]), HumanSize(tier.value("free", std::uint64_t{0})),
                    std::to_string(tier["misplaced"].get<std::uint64_t>()), tier["path"]});
  }
  std::cout << Table(rows, {false, true, true, true, true, false});
  for (const auto& tier : status["tiers"]) {
    if (tier.contains("error")) std::cout << "  tier " << tier["tier"] << ": " << tier["error"].get<std::string>() << "\n";
    for (const auto& path : tier["misplaced_paths"]) {
      std::cout << "  misplaced in tier " << tier["tier"] << ": " << Printable(path.get<std::string>()) << "\n";
    }
  }
}

}  // namespace

void AddStatus(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("status", "Each tier's path, files, bytes and free space; how the mount is served; what is misplaced");
  auto which = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  verb.AddOption("MOUNT", *which, "mounts to show (all that are mounted)");
  verb.AddFlag("--json", *json, "for programs");
  verb.OnRun([which, json, &outcome] {
    if (which->empty()) {
      for (const MountedFs& mount : TierfsMounts()) which->push_back(mount.config);
    }
    nlohmann::json all = nlohmann::json::array();
    for (const std::string& each : *which) {
      const auto config = ConfigFor(each, outcome);
      if (!config) continue;
      all.push_back(StatusOf(*config, outcome));
      if (!*json) Print(all.back());
    }
    if (*json) PrintJson(all);
    if (!*json && all.empty() && outcome.code == kOk) std::cout << "nothing is mounted\n";
  });
}

}  // namespace tierfs::tools
