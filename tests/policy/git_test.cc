// Compares the patterns with git itself: random lists of patterns and paths, each answered by `git
// check-ignore` with the line that decides.
//
// Each list is the .gitignore of its own directory, so that one git process answers a thousand
// lists. Every third rule is negated; it stands for a second tier. The test models two differences
// from git:
// - git does not look beneath an ignored directory, so that no rule can re-include an entry there.
// In tierfs a later rule wins at any depth.
// - In git a negated pattern on a directory does not apply to its content. In tierfs a rule covers
// everything beneath.
// In a third case git differs from its manual. The manual says that in `ab**/c` the asterisks are
// regular ones, but git cuts off the literal prefix `ab` and takes the rest for `**/c`. The test
// omits such patterns, and escaped slashes.
//
// TIERFS_GIT_ROUNDS sets the number of rounds, of a thousand lists each; TIERFS_GIT_SEED sets the
// seed.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "policy/match.h"
#include "tests/policy/random_policy.h"
#include "tests/policy/support.h"

namespace tierfs::policy::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLists = 1000;
constexpr std::size_t kPathsOfAList = 30;

std::uint64_t NumberFrom(const char* variable, std::uint64_t otherwise) {
  const char* value = std::getenv(variable);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

struct List {
  std::vector<std::string> patterns;  // as in .gitignore
  std::vector<bool> negated;
  std::shared_ptr<const Policy> policy;
  std::vector<std::string> paths;
  std::set<std::string> directories;
};

// True if git would split `ab**/` into `ab` and `**/`.
bool MeetsTheCutPrefix(const std::string& pattern) {
  const std::size_t special = pattern.find_first_of("*?[\\");
  if (special == std::string::npos || special == 0 || pattern[special - 1] == '/') return false;
  const std::size_t end = pattern.find_first_not_of('*', special);
  return end != special + 1 && pattern[special] == '*' && (end == std::string::npos || pattern[end] == '/');
}

bool Usable(const std::string& pattern) {
  if (pattern[0] == '!' || pattern[0] == '#' || pattern.find("\\/") != std::string::npos) return false;
  const ParseResult parsed = Parse("4 " + pattern + "\n", "t", nullptr);
  return parsed.policy && !MeetsTheCutPrefix(parsed.policy->rules()[0].pattern);
}

List MakeList(RandomPolicy& random) {
  List list;
  std::string text;
  for (std::size_t count = 1 + random.Below(8); list.patterns.size() < count;) {
    const std::string pattern = random.Pattern();
    if (!Usable(pattern)) continue;
    const bool negated = random.OneIn(3);
    list.patterns.push_back((negated ? "!" : "") + pattern);
    list.negated.push_back(negated);
    text += (negated ? "2 " : "4 ") + pattern + "\n";
  }
  list.policy = PolicyOf(text);
  for (std::size_t i = 0; i < kPathsOfAList; ++i) {
    list.paths.push_back(random.Path());
    if (random.OneIn(3)) list.directories.insert(list.paths.back());
  }
  for (const std::string& directory : std::set<std::string>(list.directories)) {
    for (fs::path above = fs::path(directory).parent_path(); !above.empty(); above = above.parent_path()) {
      list.directories.insert(above.string());
    }
  }
  return list;
}

bool EndsInAnyDepth(std::string_view pattern) {
  if (pattern.ends_with('/')) pattern.remove_suffix(1);
  const std::size_t slash = pattern.rfind('/');
  return slash != std::string_view::npos && pattern.size() - slash > 2 &&
         pattern.find_first_not_of('*', slash + 1) == std::string_view::npos;
}

// The number of the line that decides by git's rules, from 1; 0 if none does.
std::size_t GitsLine(const List& list, const std::string& path) {
  const std::vector<std::string_view> all = ComponentsOf(path);
  std::vector<std::string_view> names;
  for (const std::string_view name : all) {
    names.push_back(name);
    const bool last = names.size() == all.size();
    const bool is_dir = !last || list.directories.contains(path);
    for (std::size_t line = list.patterns.size(); line > 0; --line) {
      const Rule& rule = list.policy->rules()[line - 1];
      // tierfs keeps `x/**` as `x/*`, which covers the same; in git it matches at every depth.
      const bool any_depth = EndsInAnyDepth(rule.pattern) && FirstMatch(rule, names, is_dir) && (is_dir || !rule.directories_only);
      if (!any_depth && !MatchesItself(rule, names, is_dir)) continue;
      if (last || !list.negated[line - 1]) return line;
      break;
    }
  }
  return 0;
}

// The directory in which git runs. The destructor removes it.
class Worktree {
 public:
  Worktree() {
    // In memory if possible: the test makes and removes thousands of directories.
    const fs::path above = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : fs::temp_directory_path();
    std::string pattern = (above / "tierfs-git-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
    Run("git init -q .");
  }
  ~Worktree() { fs::remove_all(root_); }

  void Run(const std::string& command) const {
    // Runs git without the settings of the machine's user.
    const std::string clean = "cd '" + root_.string() + R"(' && env -i PATH="$PATH" HOME="$PWD" GIT_CONFIG_NOSYSTEM=1 )";
    // check-ignore exits with 1 if nothing is ignored.
    const int status = std::system((clean + command).c_str());
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) <= 1) << command << ": is git installed?";
  }
  [[nodiscard]] const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

// git's answers, a line number each, to all paths of all lists.
std::vector<std::size_t> AskGit(const std::vector<List>& lists) {
  const Worktree worktree;
  {
    std::ofstream questions(worktree.root() / "questions", std::ios::binary);
    for (std::size_t i = 0; i < lists.size(); ++i) {
      const fs::path directory = worktree.root() / ("list" + std::to_string(i));
      fs::create_directory(directory);
      for (const std::string& each : lists[i].directories) fs::create_directories(directory / each);
      std::ofstream ignore(directory / ".gitignore", std::ios::binary);
      for (const std::string& pattern : lists[i].patterns) ignore << pattern << "\n";
      for (const std::string& path : lists[i].paths) questions << directory.filename().string() << "/" << path << '\0';
    }
  }
  worktree.Run("git -c core.ignoreCase=false check-ignore -v -n --no-index --stdin -z <questions >answers");
  std::vector<std::size_t> lines;
  std::ifstream answers(worktree.root() / "answers", std::ios::binary);
  for (std::string source, line, pattern, path; std::getline(answers, source, '\0') && std::getline(answers, line, '\0') &&
                                                std::getline(answers, pattern, '\0') && std::getline(answers, path, '\0');) {
    lines.push_back(line.empty() ? 0 : std::stoul(line));
  }
  return lines;
}

std::string Show(const List& list, const std::string& path) {
  std::ostringstream text;
  text << "path: " << path << (list.directories.contains(path) ? "/" : "") << "\n";
  for (std::size_t i = 0; i < list.patterns.size(); ++i) text << i + 1 << ": " << list.patterns[i] << "|\n";
  return text.str();
}

TEST(Git, AgreesWithThePolicy) {
  const std::uint64_t seed = NumberFrom("TIERFS_GIT_SEED", 20240229);
  const std::uint64_t rounds = NumberFrom("TIERFS_GIT_ROUNDS", 4);
  std::cout << "TIERFS_GIT_SEED=" << seed << " TIERFS_GIT_ROUNDS=" << rounds << "\n";
  RandomPolicy random(seed);
  std::size_t cases = 0;
  std::size_t decided = 0;
  for (std::uint64_t round = 0; round < rounds && !HasFailure(); ++round) {
    std::vector<List> lists;
    for (std::size_t i = 0; i < kLists; ++i) lists.push_back(MakeList(random));
    const std::vector<std::size_t> answers = AskGit(lists);
    ASSERT_EQ(answers.size(), kLists * kPathsOfAList);
    auto answer = answers.begin();
    for (const List& list : lists) {
      for (const std::string& path : list.paths) {
        ASSERT_EQ(GitsLine(list, path), *answer) << Show(list, path);
        // The automaton agrees with a rule-by-rule match: the last rule that matches the path or a
        // directory above it.
        const bool is_dir = list.directories.contains(path);
        ASSERT_EQ(list.policy->DecisionFor(path, is_dir), ByTheRules(*list.policy, path, is_dir)) << Show(list, path);
        ++cases;
        if (*answer++ != 0) ++decided;
      }
    }
  }
  std::cout << cases << " cases, " << decided << " of them decided by a pattern\n";
  EXPECT_GT(decided, cases / 3);
}

}  // namespace
}  // namespace tierfs::policy::testing
