// The cost of a step with 5 to 5,000 rules, compared with the obvious alternative: fnmatch(3) on
// each rule, last rule first.
//
//   policy_bench                            all benchmarks
//   policy_bench --benchmark_filter=literal
//
// Each benchmark classifies the same 5,000 files. The automaton starts in the state of the file's
// directory and takes one step a file, as a mount does. fnmatch gets the whole path. `ns` is the
// time for one file; `memory` is the size of the compiled policy after all of them.
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

// Classifies a file in a directory whose state is known: the cost in a lookup or a create.
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

// Steps through the whole path from the root: the cost without remembered states.
void WholePath(benchmark::State& bench, Kind kind) {
  const auto rules = static_cast<std::size_t>(bench.range(0));
  const auto policy = Compile(kind, rules);
  const std::vector<std::string> paths = PathsFor(rules);
  for (auto _ : bench) {
    for (const std::string& path : paths) benchmark::DoNotOptimize(policy->DecisionFor(path, false));
  }
  Report(bench, paths.size());
}

// Runs fnmatch on the whole path, last rule first, until one matches. fnmatch has no `**` and no
// anchoring, so it does less than gitignore requires. Only its cost is compared.
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
