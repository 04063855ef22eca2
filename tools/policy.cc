// tierctl policy check, test and diff.
#include <sys/stat.h>

#include <array>
#include <iostream>

#include "fs/tier/walk.h"
#include "policy/lint.h"
#include "tools/expectations.h"
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
  return {{"file", diagnostic.source.file},
          {"line", diagnostic.source.line},
          {"column", diagnostic.source.column},
          {"message", diagnostic.message},
          {"code", diagnostic.code}};
}

// Prints each error with its line and a caret. A file that cannot be read has no line to show.
void PrintErrors(const std::vector<policy::Diagnostic>& errors) {
  for (const auto& error : errors) {
    std::cerr << "error: " << (error.source.line == 0 ? error.source.file + ": " + error.message + "\n" : error.Render());
  }
}

// Loads the policy of a file. Errors go to stderr.
std::shared_ptr<const policy::Policy> Load(const std::string& file, Outcome& outcome) {
  const auto parsed = LoadPolicyFile(file);
  PrintErrors(parsed.errors);
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
    PrintJson(
        {{"file", request.file}, {"errors", errors}, {"warnings", lint}, {"rules", parsed.policy ? parsed.policy->rules().size() : 0}});
  } else {
    PrintErrors(parsed.errors);
    for (const auto& warning : warnings) std::cout << "warning [" << warning.code << "]: " << warning.Render();
    if (parsed.policy) std::cout << request.file << ": " << parsed.policy->rules().size() << " rules, " << warnings.size() << " warnings\n";
  }
  if (!parsed.policy) {
    outcome.code = kUsage;
  } else if (request.strict && !warnings.empty()) {
    outcome.code = kFindings;
  }
}

void Test(const Request& request, Outcome& outcome) {
  const Expectations expected = ReadExpectations(request.file);
  PrintErrors(expected.errors);
  const std::string file = request.other.empty() ? expected.policy_file : request.other;
  if (expected.errors.empty() && file.empty()) {
    std::cerr << request.file << ": names no policy; write 'policy FILE' into it or use --policy FILE\n";
  }
  outcome.code = kUsage;
  if (!expected.errors.empty() || file.empty()) return;
  const auto policy = Load(file, outcome);
  if (!policy) return;
  nlohmann::json failures = nlohmann::json::array();
  for (const Expectation& line : expected.lines) {
    const policy::Decision decision = policy->DecisionFor(line.path, line.is_dir);
    if (decision.tier == line.tier) continue;
    const std::string by = decision.rule == policy::kNoRule ? "no rule" : policy->RuleOf(decision.rule).Describe();
    failures.push_back(
        {{"line", line.line}, {"path", line.path}, {"expected", NumberOf(line.tier)}, {"tier", NumberOf(decision.tier)}, {"rule", by}});
    if (!request.json) {
      std::cout << request.file << ":" << line.line << ": " << Printable(line.path) << " is tier " << NumberOf(decision.tier)
                << ", expected " << NumberOf(line.tier) << " (" << Printable(by) << ")\n";
    }
  }
  if (request.json) PrintJson({{"policy", file}, {"checked", expected.lines.size()}, {"failures", failures}});
  if (!request.json) std::cout << expected.lines.size() - failures.size() << " as expected, " << failures.size() << " not\n";
  outcome.code = failures.empty() ? kOk : kFindings;
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

void AddPolicy(Verb app, Outcome& outcome) {
  const Verb group = app.AddVerb("policy", "Policies");
  group.NeedsVerb();
  auto request = std::make_shared<Request>();

  const Verb check = group.AddVerb("check", "Reports errors in a policy, and warns about rules that are probably mistakes");
  check.AddOption("FILE", request->file, "a policy").Required();
  check.AddFlag("--strict", request->strict, "exit code 1 when there are warnings");
  check.AddFlag("--json", request->json, "for programs");
  check.OnRun([request, &outcome] { Check(*request, outcome); });

  const Verb test = group.AddVerb("test", "Checks a policy against a file of expectations, a line each: PATH -> TIER");
  test.AddOption("FILE", request->file, "the expectations; a path with a slash at its end is a directory; # comments").Required();
  test.AddOption("--policy", request->other, "the policy; without it the one that a line 'policy FILE' in FILE names, relative to FILE");
  test.AddFlag("--json", request->json, "for programs");
  test.OnRun([request, &outcome] { Test(*request, outcome); });

  const Verb diff = group.AddVerb("diff", "Which existing files change their tier between two policies, with their sizes");
  diff.AddOption("OLD", request->file, "the policy as it is").Required();
  diff.AddOption("NEW", request->other, "the policy as it would be").Required();
  diff.AddOption("--tree", request->tree, "the files to look at: a mount, or a directory laid out like one").Required();
  diff.AddFlag("--json", request->json, "for programs");
  diff.OnRun([request, &outcome] { Diff(*request, outcome); });
}

}  // namespace tierfs::tools
