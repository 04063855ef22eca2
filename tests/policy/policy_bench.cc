// What a step costs with 5 to 5,000 rules, beside the obvious alternative: fnmatch(3) over the
// rules, the last first.
//
//   policy_bench                      all of it
//   policy_bench --benchmark_filter=literal
//
// Each benchmark classifies the same 5,000 files: the automaton in their directory's state, one
// step a file, as a mount does; fnmatch by the whole path. `ns` is for one file. `memory` is what
// the compiled policy holds after all of them were met.
#include <benchmark/benchmark.h>
#include <fnmatch.h>

#include <stdexcept>

#include "policy/policy.h"
#include "tests/policy/workload.h"

namespace tierfs::policy::testing {
namespace {

std::shared_ptr<const Policy> Compile(Kind kind, std::size_t rules) {
  ParseResult parsed = Parse(RulesFor(kind, rules), "bench.tiers", nullptr);
  if (!parsed.policy) throw std::runtime_error(parsed.errors.front().Render());
  return parsed.policy;
}

struct File {
  State directory;
  std::string_view name;
};

std::vector<File> Walked(const Policy& policy, const std::vector<std::string>& paths) {
  std::vector<File> files;
  for (const std::string& path : paths) {
    std::string_view rest = path;
    State state = policy.Root();
    for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
      state = policy.Step(state, rest.substr(0, slash));
      rest.remove_prefix(slash + 1);
    }
    files.push_back({state, rest});
  }
  return files;
}

void Report(benchmark::State& bench, std::size_t files) {
  bench.counters["ns"] = benchmark::Counter(static_cast<double>(bench.iterations()) * static_cast<double>(files) * 1e-9,
                                            benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// The class of a file in a directory whose state is known: what a lookup or a create costs.
void Step(benchmark::State& bench, Kind kind) {
  const auto rules = static_cast<std::size_t>(bench.range(0));
  const auto policy = Compile(kind, rules);
  const std::vector<std::string> paths = PathsFor(rules);
  const std::vector<File> files = Walked(*policy, paths);
  for (auto _ : bench) {
    for (const File& file : files) benchmark::DoNotOptimize(policy->Classify(file.directory, file.name, false));
  }
  Report(bench, files.size());
  bench.counters["memory"] =
      benchmark::Counter(static_cast<double>(policy->MemoryUsed().bytes), benchmark::Counter::kDefaults, benchmark::Counter::OneK::kIs1024);
}

// The whole path from the root, each directory stepped into: what nothing remembered would cost.
void WholePath(benchmark::State& bench, Kind kind) {
  const auto rules = static_cast<std::size_t>(bench.range(0));
  const auto policy = Compile(kind, rules);
  const std::vector<std::string> paths = PathsFor(rules);
  for (auto _ : bench) {
    for (const std::string& path : paths) benchmark::DoNotOptimize(policy->DecisionFor(path, false));
  }
  Report(bench, paths.size());
}

// fnmatch on the whole path, last rule first, until one matches. It knows no `**` and no anchoring,
// so it answers less than gitignore asks; what it costs is what is compared.
void Fnmatch(benchmark::State& bench, Kind kind) {
  const auto rules = static_cast<std::size_t>(bench.range(0));
  const auto policy = Compile(kind, rules);
  std::vector<std::string> patterns;
  for (const Rule& rule : policy->rules()) {
    std::string pattern = rule.pattern;
    if (pattern.ends_with('/')) pattern.pop_back();
    if (pattern.starts_with('/')) {
      pattern.erase(0, 1);
    } else if (pattern.find('/') == std::string::npos) {
      pattern.insert(0, "*/");
    }
    patterns.push_back(pattern);
  }
  const std::vector<std::string> paths = PathsFor(rules);
  for (auto _ : bench) {
    for (const std::string& path : paths) {
      std::size_t at = patterns.size();
      while (at > 0 && ::fnmatch(patterns[at - 1].c_str(), path.c_str(), FNM_LEADING_DIR) != 0) --at;
      benchmark::DoNotOptimize(at);
    }
  }
  Report(bench, paths.size());
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgName("rules")->Arg(5)->Arg(50)->Arg(500)->Arg(5000)->Unit(benchmark::kMillisecond);
}

BENCHMARK_CAPTURE(Step, literal, Kind::kLiteral)->Apply(Sizes);
BENCHMARK_CAPTURE(Step, glob_heavy, Kind::kGlobHeavy)->Apply(Sizes);
BENCHMARK_CAPTURE(WholePath, literal, Kind::kLiteral)->Apply(Sizes);
BENCHMARK_CAPTURE(WholePath, glob_heavy, Kind::kGlobHeavy)->Apply(Sizes);
BENCHMARK_CAPTURE(Fnmatch, literal, Kind::kLiteral)->Apply(Sizes);
BENCHMARK_CAPTURE(Fnmatch, glob_heavy, Kind::kGlobHeavy)->Apply(Sizes);

}  // namespace
}  // namespace tierfs::policy::testing

BENCHMARK_MAIN();
