// tierctl policy check, test and diff.
#include <sys/stat.h>

#include <array>
#include <fstream>
#include <iostream>

#include "fs/tier/walk.h"
#include "policy/lint.h"
#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {
namespace {

struct Request {
  std::string file;
  std::string other;
  std::string tree;
  bool strict = false;
  bool json = false;
};

nlohmann::json ToJson(const policy::Diagnostic& diagnostic) {
  return {{"file", diagnostic.source.file}, {"line", diagnostic.source.line}, {"column", diagnostic.source.column},
          {"message", diagnostic.message}, {"code", diagnostic.code}};
}

// The policy of a file; its errors go to stderr.
std::shared_ptr<const policy::Policy> Load(const std::string& file, Outcome& outcome) {
  const auto parsed = LoadPolicyFile(file);
  for (const auto& error : parsed.errors) std::cerr << (error.source.line == 0 ? error.source.file + ": " + error.message + "\n" : error.Render());
  if (!parsed.policy) outcome.code = kUsage;
  return parsed.policy;
}

void Check(const Request& request, Outcome& outcome) {
  const auto parsed = LoadPolicyFile(request.file);
  const auto warnings = policy::Lint(parsed);
  if (request.json) {
    nlohmann::json errors = nlohmann::json::array();
    nlohmann::json lint = nlohmann::json::array();
    for (const auto& error : parsed.errors) errors.push_back(ToJson(error));
    for (const auto& warning : warnings) lint.push_back(ToJson(warning));
    PrintJson({{"file", request.file}, {"errors", errors}, {"warnings", lint}, {"rules", parsed.policy ? parsed.policy->rules().size() : 0}});
  } else {
    for (const auto& error : parsed.errors) std::cerr << "error: " << (error.source.line == 0 ? error.source.file + ": " + error.message + "\n" : error.Render());
    for (const auto& warning : warnings) std::cout << "warning [" << warning.code << "]: " << warning.Render();
    if (parsed.policy) std::cout << request.file << ": " << parsed.policy->rules().size() << " rules, " << warnings.size() << " warnings\n";
  }
  if (!parsed.policy) {
    outcome.code = kUsage;
  } else if (request.strict && !warnings.empty()) {
    outcome.code = kFindings;
  }
}

// A line of a file of expectations: PATH -> TIER.
void Test(const Request& request, Outcome& outcome) {
  std::ifstream file(request.file);
  if (!file) {
    std::cerr << "tierctl: cannot read " << request.file << "\n";
    outcome.code = kUsage;
    return;
  }
  const auto policy = Load(request.other, outcome);
  if (!policy) return;
  nlohmann::json failures = nlohmann::json::array();
  std::size_t number = 0;
  std::size_t checked = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const std::size_t arrow = line.rfind(" -> ");
    const std::string tier = arrow == std::string::npos ? "" : line.substr(arrow + 4);
    if (tier.size() != 1 || tier[0] < '1' || tier[0] > '4') {
      std::cerr << request.file << ":" << number << ": expected 'PATH -> TIER' with a tier of 1 to 4\n";
      outcome.code = kUsage;
      return;
    }
    std::string path = line.substr(0, arrow);
    path.erase(path.find_last_not_of(' ') + 1);
    const bool is_dir = !path.empty() && path.back() == '/';
    const policy::Decision decision = policy->DecisionFor(path, is_dir);
    ++checked;
    if (NumberOf(decision.tier) == tier[0] - '0') continue;
    const std::string by = decision.rule == policy::kNoRule ? "no rule" : policy->RuleOf(decision.rule).Describe();
    failures.push_back({{"line", number}, {"path", path}, {"expected", tier[0] - '0'}, {"tier", NumberOf(decision.tier)}, {"rule", by}});
    if (!request.json) {
      std::cout << request.file << ":" << number << ": " << Printable(path) << " is tier " << NumberOf(decision.tier) << ", expected " << tier << " (" << by << ")\n";
    }
  }
  if (request.json) PrintJson({{"checked", checked}, {"failures", failures}});
  if (!request.json) std::cout << checked - failures.size() << " as expected, " << failures.size() << " not\n";
  if (!failures.empty()) outcome.code = kFindings;
}

void Diff(const Request& request, Outcome& outcome) {
  const auto before = Load(request.file, outcome);
  const auto after = Load(request.other, outcome);
  if (!before || !after) return;
  struct Sum {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
  };
  std::array<std::array<Sum, kTierCount + 1>, kTierCount + 1> sums{};
  nlohmann::json changes = nlohmann::json::array();
  Progress progress("looking at files:");
  std::uint64_t seen = 0;
  const Status walked = WalkTree(request.tree, [&](const WalkedEntry& entry) {
    if (++seen % 10000 == 0) progress.Show(seen);
    const bool is_dir = S_ISDIR(entry.st.st_mode);
    if (is_dir || entry.whiteout) return;
    const int from = NumberOf(before->DecisionFor(entry.path, is_dir).tier);
    const int to = NumberOf(after->DecisionFor(entry.path, is_dir).tier);
    if (from == to) return;
    Sum& sum = sums[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
    ++sum.files;
    sum.bytes += static_cast<std::uint64_t>(entry.st.st_size);
    if (request.json) {
      changes.push_back({{"path", entry.path}, {"from", from}, {"to", to}, {"bytes", entry.st.st_size}});
    } else {
      std::cout << from << " -> " << to << "  " << Printable(entry.path) << "\n";
    }
  });
  if (!walked) {
    std::cerr << "tierctl: " << request.tree << ": " << std::strerror(walked.error().code) << "\n";
    outcome.code = kCannot;
    return;
  }
  std::vector<std::vector<std::string>> rows{{"from", "to", "files", "size"}};
  nlohmann::json totals = nlohmann::json::array();
  for (int from = 1; from <= kTierCount; ++from) {
    for (int to = 1; to <= kTierCount; ++to) {
      const Sum& sum = sums[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
      if (sum.files == 0) continue;
      rows.push_back({std::to_string(from), std::to_string(to), std::to_string(sum.files), HumanSize(sum.bytes)});
      totals.push_back({{"from", from}, {"to", to}, {"files", sum.files}, {"bytes", sum.bytes}});
    }
  }
  if (request.json) {
    PrintJson({{"changes", changes}, {"totals", totals}});
  } else {
    std::cout << (totals.empty() ? "no path changes its tier\n" : "\n" + Table(rows, {false, false, true, true}));
  }
}

}  // namespace

void AddPolicy(CLI::App& app, Outcome& outcome) {
  auto* group = app.add_subcommand("policy", "Policies");
  group->require_subcommand(1);
  auto request = std::make_shared<Request>();

  auto* check = group->add_subcommand("check", "Errors of a policy, and warnings about rules that are probably not what was meant");
  check->add_option("FILE", request->file, "a policy")->required();
  check->add_flag("--strict", request->strict, "exit code 1 when there are warnings");
  check->add_flag("--json", request->json, "for programs");
  check->callback([request, &outcome] { Check(*request, outcome); });

  auto* test = group->add_subcommand("test", "Checks a policy against a file of expectations, a line each: PATH -> TIER");
  test->add_option("FILE", request->file, "the expectations; a path with a trailing slash is a directory; # comments")->required();
  test->add_option("--policy", request->other, "the policy")->required();
  test->add_flag("--json", request->json, "for programs");
  test->callback([request, &outcome] { Test(*request, outcome); });

  auto* diff = group->add_subcommand("diff", "Which existing files change their tier between two policies, with their sizes");
  diff->add_option("OLD", request->file, "the policy as it is")->required();
  diff->add_option("NEW", request->other, "the policy as it would be")->required();
  diff->add_option("--tree", request->tree, "the files to look at: a mount, or a directory laid out like one")->required();
  diff->add_flag("--json", request->json, "for programs");
  diff->callback([request, &outcome] { Diff(*request, outcome); });
}

}  // namespace tierfs::tools
