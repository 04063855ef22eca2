// Finds the commit of tier 1 that broke something, by running a command in clones.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/jobs/clone/clone.h"
#include "policy/tier_id.h"

namespace tierfs::bisect {

struct Request {
  std::string good;  // revisions, as Repository::Resolve takes them
  std::string bad;
  std::vector<std::string> command;
  std::chrono::milliseconds time_limit{};  // of one step; 0: none. A step that takes longer is bad.
  bool empty_state = false;                // tier 3 is empty
  bool network = false;                    // see clone::Request
  std::string space_directory;             // see clone::Request
  std::vector<TierId> compared;            // the tiers that are hashed before and after
};

enum class Verdict : std::uint8_t { kGood, kBad, kSkip };

// One run of the command.
struct Step {
  std::string commit;
  Verdict verdict = Verdict::kGood;
  clone::Ended ended;
  double seconds = 0;
  std::string output;  // its end
};

// The commits that are still in question.
struct Range {
  std::string good;  // commits
  std::string bad;
  std::uint64_t commits = 0;  // after the good one, up to and with the bad one
  // The number of runs that it takes at most, without skipped ones and the end points.
  [[nodiscard]] std::uint64_t Runs() const;
};

struct CommitDetails {
  std::string commit;
  std::string author;
  std::int64_t time = 0;  // seconds since the epoch
  std::string subject;
  std::string program;             // that made the change; "" if the commit does not say
  std::vector<std::string> paths;  // relative to tier 1
  std::string stat;                // as `git show --stat` prints it
};

// A tier before and after.
struct Comparison {
  TierId tier;
  std::string before;  // hash
  std::string after;
  std::uint64_t paths = 0;    // after
  std::uint64_t changed = 0;  // paths that changed meanwhile
};

struct Report {
  enum class Answer : std::uint8_t {
    kFound,
    kGoodFails,  // the good revision fails too
    kBadPasses,  // the bad revision passes: the cause is not in tier 1
    kUndecided,  // only skipped commits are left
  };
  Answer answer = Answer::kFound;
  Range range;
  std::vector<Step> steps;              // the end points first
  std::vector<CommitDetails> culprits;  // kFound: one; kUndecided: the commits that it could be
  std::vector<Comparison> comparisons;
  double seconds = 0;
};

struct Failure {
  bool usage = false;  // the request is wrong; nothing was run
  std::string line;
};

struct Events {
  std::function<void(std::uint64_t tier)> hashing;
  // A run begins: its number, and the number of runs to expect.
  std::function<void(std::uint64_t run, std::uint64_t of, const std::string& commit)> begins;
  std::function<void(const Step& step)> ended;
  std::function<void(std::string_view bytes)> output;  // of the command, as it comes
  const std::atomic<bool>* cancelled = nullptr;
};

// Resolves and compares the two revisions.
[[nodiscard]] tl::expected<Range, Failure> FindRange(const Config& config, const Request& request);

// Runs the command with each end point, then halves the range until one commit is left. It asks no
// daemon, writes nothing to the repository, and works on the commits that the revisions name now,
// whatever is committed meanwhile. Environment of the command: TIERFS_REVISION, the commit.
//
// Exit codes of the command, as `git bisect run` has them: 0 good, 125 skip, 1 to 127 bad; anything
// else, and a signal, ends the search with a failure. So does 125 at an end point, and 126 or
// 127 at the good one.
[[nodiscard]] tl::expected<Report, Failure> Search(const Config& config, const Request& request, const Events& events);

// "exit code 1"; "took longer than the time limit"
[[nodiscard]] std::string Describe(const clone::Ended& ended);

}  // namespace tierfs::bisect
