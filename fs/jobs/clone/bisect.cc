#include "fs/jobs/clone/bisect.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>

#include "fs/jobs/clone/tree_state.h"
#include "fs/jobs/history/materialise.h"
#include "fs/jobs/history/repository.h"

namespace tierfs::bisect {
namespace {

using Clock = std::chrono::steady_clock;
using clone::Ended;

constexpr int kSkipCode = 125;
constexpr int kFirstCannotRunCode = 126;  // of a shell: not executable; 127: not found
constexpr int kLastBadCode = 127;
constexpr std::size_t kKeptOutput = 16 << 10;

tl::unexpected<Failure> Wrong(std::string line) { return tl::unexpected(Failure{true, std::move(line)}); }
tl::unexpected<Failure> Cannot(std::string line) { return tl::unexpected(Failure{false, std::move(line)}); }

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::string Short(const std::string& commit) { return commit.substr(0, 12); }

// The commits of `bad` that no good commit has, those that halve the rest best first.
tl::expected<std::vector<std::string>, Failure> InQuestion(const history::Repository& repository, const std::string& bad,
                                                           const std::vector<std::string>& good) {
  std::vector<std::string> arguments{"rev-list", "--bisect-all", bad};
  for (const std::string& each : good) arguments.push_back("^" + each);
  const auto list = repository.Run(arguments);
  if (!list) return Cannot(list.error());
  std::vector<std::string> commits;
  for (const std::string& line : Split(*list, '\n')) commits.push_back(line.substr(0, line.find(' ')));
  return commits;
}

tl::expected<CommitDetails, Failure> DetailsOf(const history::Repository& repository, const std::string& commit) {
  const auto facts =
      repository.Run({"show", "-s", "--format=%an%x00%at%x00%s%x00%(trailers:key=Process,valueonly,separator=%x2C)", commit});
  const auto paths = repository.Run({"diff-tree", "--root", "--no-commit-id", "--name-only", "-r", "-z", commit});
  const auto stat = repository.Run({"show", "--format=", "--stat=100", commit});
  if (!facts || !paths || !stat) return Cannot(!facts ? facts.error() : !paths ? paths.error() : stat.error());
  auto fields = Split(*facts, '\0');
  fields.resize(4);
  CommitDetails details{commit, fields[0], std::atoll(fields[1].c_str()), fields[2], fields[3], Split(*paths, '\0'), *stat};
  while (!details.program.empty() && details.program.back() == '\n') details.program.pop_back();
  return details;
}

class SearchRun {
 public:
  SearchRun(const Config& config, const Request& request, const Events& events)
      : config_(config), request_(request), events_(events), repository_(config.version->repo) {}

  tl::expected<Report, Failure> Run(Range range) {
    report_.range = std::move(range);
    TIERFS_ASSIGN(const auto before, ReadTrees());
    TIERFS_TRY(Search());
    TIERFS_ASSIGN(const auto after, ReadTrees());
    for (std::size_t i = 0; i < before.size(); ++i) {
      report_.comparisons.push_back(
          {request_.compared[i], before[i].hash(), after[i].hash(), after[i].paths(), after[i].ChangedSince(before[i])});
    }
    report_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    return std::move(report_);
  }

 private:
  tl::expected<std::vector<clone::TreeState>, Failure> ReadTrees() {
    std::vector<clone::TreeState> states;
    for (const TierId tier : request_.compared) {
      events_.hashing(static_cast<std::uint64_t>(NumberOf(tier)));
      const std::string& tree = config_.tiers[static_cast<std::size_t>(NumberOf(tier)) - 1];
      auto state = clone::TreeState::Read(tree, *events_.cancelled);
      if (!state && state.error().code == ECANCELED) return Cannot("interrupted");
      if (!state) return Cannot("hash of " + tree + ": " + state.error().step + ": " + std::strerror(state.error().code));
      states.push_back(std::move(*state));
    }
    return states;
  }

  tl::expected<void, Failure> Search() {
    const Range& range = report_.range;
    TIERFS_ASSIGN(const Verdict good, Try(range.good));
    TIERFS_TRY(CheckEndPoint("good"));
    if (good != Verdict::kGood) return Answer(Report::Answer::kGoodFails, {});
    TIERFS_ASSIGN(const Verdict bad, Try(range.bad));
    TIERFS_TRY(CheckEndPoint("bad"));
    if (bad != Verdict::kBad) return Answer(Report::Answer::kBadPasses, {});
    std::string first_bad = range.bad;
    std::vector<std::string> passed{range.good};
    std::set<std::string> skipped;
    for (;;) {
      TIERFS_ASSIGN(const auto commits, InQuestion(repository_, first_bad, passed));
      left_ = commits.size();
      const auto next = std::find_if(commits.begin(), commits.end(),
                                     [&](const std::string& each) { return each != first_bad && skipped.count(each) == 0; });
      if (next == commits.end()) {
        return commits.size() == 1 ? Answer(Report::Answer::kFound, commits) : Answer(Report::Answer::kUndecided, commits);
      }
      TIERFS_ASSIGN(const Verdict verdict, Try(*next));
      if (verdict == Verdict::kGood) passed.push_back(*next);
      if (verdict == Verdict::kBad) first_bad = *next;
      if (verdict == Verdict::kSkip) skipped.insert(*next);
    }
  }

  // The end points have to be good or bad, and the command has to run where all is well.
  [[nodiscard]] tl::expected<void, Failure> CheckEndPoint(const std::string& name) const {
    const Step& step = report_.steps.back();
    if (step.ended.how != Ended::How::kExited) return {};
    const std::string where = " (" + Describe(step.ended) + ") at the " + name + " revision";
    if (step.ended.code == kSkipCode) return Cannot("the command cannot tell" + where + ": choose another");
    if (name == "bad" || step.ended.code < kFirstCannotRunCode) return {};
    const auto lines = Split(step.output, '\n');
    return Cannot("the command cannot be run" + where + (lines.empty() ? "" : ": " + lines.back()));
  }

  tl::expected<void, Failure> Answer(Report::Answer answer, const std::vector<std::string>& culprits) {
    report_.answer = answer;
    for (const std::string& commit : culprits) {
      TIERFS_ASSIGN(auto details, DetailsOf(repository_, commit));
      report_.culprits.push_back(std::move(details));
    }
    return {};
  }

  // Runs the command with tier 1 as it was at the commit.
  tl::expected<Verdict, Failure> Try(const std::string& commit) {
    const std::uint64_t run = report_.steps.size() + 1;
    const Range left{"", "", run <= 2 ? report_.range.commits : left_};
    events_.begins(run, (run <= 2 ? 2 : run - 1) + left.Runs(), commit);
    Step step;
    step.commit = commit;
    const auto begun = Clock::now();
    const auto ended = clone::Run(config_, CloneOf(commit, step.output));
    if (!ended) return Cannot("at " + Short(commit) + ": " + ended.error());
    step.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    step.ended = *ended;
    TIERFS_ASSIGN(step.verdict, Judge(step));
    report_.steps.push_back(std::move(step));
    events_.ended(report_.steps.back());
    return report_.steps.back().verdict;
  }

  [[nodiscard]] clone::Request CloneOf(const std::string& commit, std::string& output) const {
    clone::Request clone;
    clone.layers = clone::LayersOf(config_);
    clone.layers.tiers[0] = clone::Layer::Made([this, commit](int directory) -> clone::Outcome<void> {
      TIERFS_ASSIGN(const history::Items items, repository_.Read(commit));
      return history::Materialise(repository_, items, directory);
    });
    if (request_.empty_state) clone.layers.tiers[2] = clone::Layer::Empty();
    clone.command = request_.command;
    clone.environment = {"TIERFS_REVISION=" + commit};
    clone.network = request_.network;
    clone.space_directory = request_.space_directory;
    clone.time_limit = request_.time_limit;
    clone.cancelled = events_.cancelled;
    clone.output = [this, &output](std::string_view bytes) {
      output.append(bytes);
      if (output.size() > 2 * kKeptOutput) output.erase(0, output.size() - kKeptOutput);
      if (events_.output) events_.output(bytes);
    };
    return clone;
  }

  static tl::expected<Verdict, Failure> Judge(const Step& step) {
    const auto fail = [&step](const std::string& what) { return Cannot("at " + Short(step.commit) + ": " + what); };
    const Ended& ended = step.ended;
    if (ended.how == Ended::How::kCancelled) return Cannot("interrupted");
    const bool passed = ended.how == Ended::How::kExited && ended.code == 0;
    if (!passed && ended.full) {
      return fail("the space for what the command writes is used up, so its result means nothing; --disk gives it more");
    }
    if (ended.how == Ended::How::kTimedOut) return Verdict::kBad;
    if (ended.how == Ended::How::kSignalled || ended.code > kLastBadCode) {
      return fail("the command ended with " + Describe(ended) +
                  ", which means neither good nor bad; let it exit with 1 to 127 if it fails");
    }
    if (passed) return Verdict::kGood;
    return ended.code == kSkipCode ? Verdict::kSkip : Verdict::kBad;
  }

  const Config& config_;
  const Request& request_;
  const Events& events_;
  const history::Repository repository_;
  const Clock::time_point start_ = Clock::now();
  std::uint64_t left_ = 0;  // commits in question
  Report report_;
};

}  // namespace

std::uint64_t Range::Runs() const { return commits <= 1 ? 0 : static_cast<std::uint64_t>(std::bit_width(commits - 1)); }

std::string Describe(const Ended& ended) {
  switch (ended.how) {
    case Ended::How::kTimedOut:
      return "no end within the time limit";
    case Ended::How::kCancelled:
      return "an interrupt";
    case Ended::How::kSignalled:
      return "signal " + std::to_string(ended.code) + " (" + ::strsignal(ended.code) + ")";
    case Ended::How::kExited:
      break;
  }
  return "exit code " + std::to_string(ended.code);
}

tl::expected<Range, Failure> FindRange(const Config& config, const Request& request) {
  if (!config.version) return Wrong(config.file + " has no [version], so there is no history of tier 1");
  const history::Repository repository(config.version->repo);
  Range range;
  for (const auto& [name, revision, commit] :
       {std::tuple{"good", &request.good, &range.good}, std::tuple{"bad", &request.bad, &range.bad}}) {
    const auto resolved = repository.Resolve(*revision);
    if (!resolved) return Wrong("the " + std::string(name) + " revision '" + *revision + "': " + resolved.error());
    *commit = *resolved;
  }
  if (range.good == range.bad) return Wrong("the good and the bad revision are the same commit, " + Short(range.good));
  const auto is_before = [&repository](const std::string& older, const std::string& newer) {
    return repository.Run({"merge-base", "--is-ancestor", older, newer}).has_value();
  };
  if (!is_before(range.good, range.bad)) {
    if (is_before(range.bad, range.good)) return Wrong("the good revision is newer than the bad one: exchange them");
    return Wrong("the bad revision does not come from the good one: neither is an ancestor of the other");
  }
  TIERFS_ASSIGN(const auto commits, InQuestion(repository, range.bad, {range.good}));
  range.commits = commits.size();
  return range;
}

tl::expected<Report, Failure> Search(const Config& config, const Request& request, const Events& events) {
  TIERFS_ASSIGN(Range range, FindRange(config, request));
  if (const auto possible = clone::Check(config, request.space_directory); !possible) return Wrong(possible.error());
  return SearchRun(config, request, events).Run(std::move(range));
}

}  // namespace tierfs::bisect
