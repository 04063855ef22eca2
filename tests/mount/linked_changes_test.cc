// Random operations on files with several names, in tiers and in a lower layer, while the processor
// is busy. The catalogue has to agree with the trees, and a listing of changes has to name every
// changed path.
//
// The test suite contains a short run. A longer run, or another seed:
//   TIERFS_LINKS_OPERATIONS=100000 TIERFS_LINKS_SEED=7
//     build/tests/mount/mount_test --gtest_filter='*LinkedChanges*'
// The seed determines the operations, but not the moments at which the feed looks at their results.
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <thread>

#include "fs/control/control.h"
#include "fs/os/unique_fd.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kOperations = 600;
constexpr std::uint64_t kRound = 100;      // operations between two checks of the catalogue
constexpr std::uint64_t kLearnEvery = 10;  // operations
// A failure message shows at most this many operations of the last round.
constexpr std::size_t kStoryLines = 150;
constexpr std::size_t kMostHandles = 4;
constexpr int kLowerFiles = 14;
constexpr int kLowerLinks = 40;
const std::vector<std::string> kPolicies = {"4 /usr/\n1 /etc/\n3 *.tmp\n", "1 /usr/\n4 /etc/\n3 /d/\n", "3 *.tmp\n4 a\n"};

std::uint64_t Setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

// Processes that only keep a processor busy.
class BusyLoops {
 public:
  explicit BusyLoops(int count) {
    for (int i = 0; i < count; ++i) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (volatile std::uint64_t turns = 0;;) turns = turns + 1;
      }
      children_.push_back(child);
    }
  }
  ~BusyLoops() {
    for (const pid_t child : children_) {
      if (child <= 0) continue;
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
  }
  BusyLoops(const BusyLoops&) = delete;
  BusyLoops& operator=(const BusyLoops&) = delete;

 private:
  std::vector<pid_t> children_;
};

// The lstat of each entry of a tree, as a backup sees it.
std::map<std::string, std::string> StatsOf(const std::string& tree) {
  std::map<std::string, std::string> stats;
  const auto add = [&](const std::string& path, const std::string& key) {
    const struct stat st = Stat(path);
    std::ostringstream text;
    text << "inode " << st.st_ino << " mode " << std::oct << st.st_mode << std::dec << " owner " << st.st_uid << ":" << st.st_gid
         << " mtime " << st.st_mtim.tv_sec << "." << st.st_mtim.tv_nsec << " ctime " << st.st_ctim.tv_sec << "." << st.st_ctim.tv_nsec;
    if (!S_ISDIR(st.st_mode)) text << " links " << st.st_nlink << " size " << st.st_size;
    stats[key] = text.str();
  };
  add(tree, ".");
  for (const auto& entry : fs::recursive_directory_iterator(tree)) add(entry.path(), entry.path().string().substr(tree.size() + 1));
  return stats;
}

class LinkedChanges : public OverlayTest {
 protected:
  void SetUp() override {
    std::cout << "seed " << seed_ << std::endl;
    RecordProperty("seed", std::to_string(seed_));
    SkipKernelComparison();
    const std::string lower = AddLower("lower");
    FillLower(lower);
    SetPolicy(kPolicies[0]);
    if (seed_ % 4 == 0) UseTier(4, MakeFileSystem(FileSystem::kTmpfs, 64) + "/tier4");
    ASSERT_TRUE(Mount()) << Refusal();
    for (const int tier : kTiers) {
      tokens_[tier] = "";
      (void)ListedChanges(tier);
      before_[tier] = StatsOf(Tier(tier));
    }
    Learn();
  }

  std::size_t Below(std::size_t bound) { return static_cast<std::size_t>(random_() % bound); }
  bool Chance(unsigned percent) { return random_() % 100 < percent; }

  void FillLower(const std::string& lower);
  // A path in an existing directory, most of the time.
  std::string RandomPath();
  std::string Known();
  void Learn();
  void Did(const std::string& what, long result);
  void Operate();
  void UseHandle();
  void ChangeAttributes();
  void Control();
  std::set<std::string> ListedChanges(int tier);
  void Judge();

  static constexpr int kTiers[] = {1, 2};  // the tracked tiers
  const std::uint64_t seed_ = Setting("TIERFS_LINKS_SEED", 1);
  std::mt19937_64 random_{seed_};
  std::vector<std::string> known_;        // all existing paths
  std::vector<std::string> linked_;       // the known names of files with several names
  std::vector<std::string> directories_;  // the known directories
  std::vector<UniqueFd> handles_;
  std::uint64_t step_ = 0;
  std::deque<std::string> story_;
  std::map<int, std::string> tokens_;
  std::map<int, std::map<std::string, std::string>> before_;
};

std::string LinkedChanges::RandomPath() {
  static const std::vector<std::string> first = {"d", "e", "d/s", "e/s", "usr", "etc", "e/s/usr"};
  static const std::vector<std::string> names = {"a", "b", "c", "k", "l", "m", "n", "a.tmp", "b.tmp", "z"};
  std::string directory = directories_.empty() || Chance(10) ? first[Below(first.size())] : directories_[Below(directories_.size())];
  if (Chance(20)) directory.clear();
  return directory + (directory.empty() ? "" : "/") + names[Below(names.size())];
}

std::string LinkedChanges::Known() {
  const std::vector<std::string>& from = !linked_.empty() && Chance(70) ? linked_ : known_;
  return from.empty() || Chance(5) ? RandomPath() : from[Below(from.size())];
}

void LinkedChanges::FillLower(const std::string& lower) {
  for (const char* directory : {"d/s", "e/s/usr", "usr", "etc"}) MakeDirs(lower + "/" + directory);
  std::vector<std::string> files;
  for (int i = 0; i < kLowerFiles; ++i) {
    const std::string path = lower + "/" + RandomPath();
    if (Exists(path)) continue;
    WriteFile(path, std::string(Below(3000), 'l'));
    files.push_back(path);
  }
  for (int i = 0; i < kLowerLinks; ++i) (void)::link(files[Below(files.size())].c_str(), (lower + "/" + RandomPath()).c_str());
}

void LinkedChanges::Learn() {
  for (auto* each : {&known_, &linked_, &directories_}) each->clear();
  std::error_code ignored;
  for (fs::recursive_directory_iterator it(Mnt(), ignored), end; it != end; it.increment(ignored)) {
    struct stat st {};
    const std::string path = it->path().string().substr(Mnt().size() + 1);
    if (::lstat(it->path().c_str(), &st) != 0) continue;
    known_.push_back(path);
    if (S_ISDIR(st.st_mode)) directories_.push_back(path);
    if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) linked_.push_back(path);
  }
  for (auto* each : {&known_, &linked_, &directories_}) std::sort(each->begin(), each->end());
}

void LinkedChanges::Did(const std::string& what, long result) {
  story_.push_back(std::to_string(step_) + " " + what + (result < 0 ? std::string(" -> ") + std::strerror(errno) : ""));
  if (story_.size() > kStoryLines) story_.pop_front();
}

void LinkedChanges::UseHandle() {
  if (handles_.size() < kMostHandles && (handles_.empty() || Chance(40))) {
    const std::string path = Known();
    struct stat st {};
    if (::lstat(Mnt(path).c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    UniqueFd fd(::open(Mnt(path).c_str(), (Chance(50) ? O_RDWR : O_WRONLY) | O_CLOEXEC));
    Did("open " + path, fd.get());
    if (fd) handles_.push_back(std::move(fd));
    return;
  }
  if (handles_.empty()) return;
  const std::size_t which = Below(handles_.size());
  const int fd = handles_[which].get();
  switch (Below(5)) {
    case 0:
      return Did("handle: fchmod", ::fchmod(fd, Chance(50) ? 0600 : 0644));
    case 1:
      return Did("handle: ftruncate", ::ftruncate(fd, static_cast<off_t>(Below(5000))));
    case 2:
      handles_.erase(handles_.begin() + static_cast<std::ptrdiff_t>(which));
      return Did("handle: close", 0);
    default:
      return Did("handle: write", ::pwrite(fd, "held", 4, static_cast<off_t>(Below(5000))));
  }
}

void LinkedChanges::ChangeAttributes() {
  const std::string path = Known();
  const std::string there = Mnt(path);
  const timespec times[2] = {{static_cast<time_t>(Below(1'000'000'000)), 1}, {static_cast<time_t>(Below(1'000'000'000)), 2}};
  switch (Below(5)) {
    case 0:
      return Did("chown " + path, ::lchown(there.c_str(), static_cast<uid_t>(Below(3)), static_cast<gid_t>(Below(3))));
    case 1:
      return Did("utimens " + path, ::utimensat(AT_FDCWD, there.c_str(), times, AT_SYMLINK_NOFOLLOW));
    case 2:
      return Did("setxattr " + path, ::lsetxattr(there.c_str(), "user.x", Chance(50) ? "1" : "2", 1, 0));
    case 3:
      return Did("removexattr " + path, ::lremovexattr(there.c_str(), "user.x"));
    default:
      return Did("chmod " + path, ::chmod(there.c_str(), static_cast<mode_t>(0700 + Below(8))));
  }
}

void LinkedChanges::Control() {
  if (Chance(50)) {
    SetPolicy(kPolicies[Below(kPolicies.size())]);
    return Did("reload", -Execute({TIERCTL_BINARY, "reload", ConfigFile()}).code);
  }
  (void)Execute({TIERCTL_BINARY, "settle", ConfigFile()});
  Did("settle", 0);
}

void LinkedChanges::Operate() {
  const std::string path = Known();
  const std::string there = Mnt(path);
  const std::size_t roll = Below(1000);
  if (roll < 250) {
    const std::string other = RandomPath();
    return Did("link " + path + " " + other, ::link(there.c_str(), Mnt(other).c_str()));
  }
  if (roll < 500) {
    const std::string moved = Chance(15) && !directories_.empty() ? directories_[Below(directories_.size())] : path;
    const std::string other = Chance(75) ? RandomPath() : Known();
    const unsigned flags = Chance(25) ? RENAME_EXCHANGE : Chance(15) ? RENAME_NOREPLACE : 0;
    return Did("rename " + moved + " " + other + " flags " + std::to_string(flags),
               ::renameat2(AT_FDCWD, Mnt(moved).c_str(), AT_FDCWD, Mnt(other).c_str(), flags));
  }
  if (roll < 570) return Did("unlink " + path, ::unlink(there.c_str()));
  if (roll < 580) return Did("rmdir " + path, ::rmdir(there.c_str()));
  if (roll < 610) {
    const std::string made = RandomPath();
    return Did("mkdir " + made, ::mkdir(Mnt(made).c_str(), 0755));
  }
  if (roll < 720) {
    const std::string written = Chance(60) ? RandomPath() : path;
    struct stat st {};
    if (::lstat(Mnt(written).c_str(), &st) == 0 && !S_ISREG(st.st_mode)) return;
    const UniqueFd fd(::open(Mnt(written).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (Chance(40) ? O_TRUNC : O_APPEND), 0644));
    Did("write " + written, fd.get());
    if (fd) Did("  write", ::write(fd.get(), "written", 7));
    return;
  }
  if (roll < 840) return UseHandle();
  if (roll < 930) return ChangeAttributes();
  if (roll < 955) {
    struct stat st {};
    if (::lstat(there.c_str(), &st) != 0 || !S_ISREG(st.st_mode)) return;
    return Did("truncate " + path, ::truncate(there.c_str(), static_cast<off_t>(Below(5000))));
  }
  if (roll < 970) {
    const std::string made = RandomPath();
    return Did("symlink " + made, ::symlink("target", Mnt(made).c_str()));
  }
  if (roll < 990) {
    const std::string made = RandomPath();
    const UniqueFd fd(::open(Mnt(fs::path(made).parent_path()).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd) return;
    return Did("linkat of a temporary file " + made,
               ::linkat(AT_FDCWD, ("/proc/self/fd/" + std::to_string(fd.get())).c_str(), AT_FDCWD, Mnt(made).c_str(), AT_SYMLINK_FOLLOW));
  }
  if (roll < 997) return;
  Control();
}

std::set<std::string> LinkedChanges::ListedChanges(int tier) {
  std::vector<std::string> command{TIERCTL_BINARY, "changes", "-0", "--tier", std::to_string(tier)};
  if (!tokens_[tier].empty()) command.insert(command.end(), {"--since", tokens_[tier]});
  command.push_back(ConfigFile());
  const Ran ran = Execute(command);
  EXPECT_EQ(ran.code, 0) << ran.err;
  std::set<std::string> paths;
  std::istringstream records(ran.out);
  for (std::string record; std::getline(records, record, '\0');) {
    if (record.rfind("= ", 0) == 0)
      tokens_[tier] = record.substr(2);
    else
      paths.insert(record.substr(2));
  }
  return paths;
}

void LinkedChanges::Judge() {
  handles_.clear();
  Settled();
  std::string wrong;
  for (const int tier : kTiers) {
    const std::set<std::string> listed = ListedChanges(tier);
    const auto now = StatsOf(Tier(tier));
    std::map<std::string, std::string> changed;
    for (const auto& [path, stats] : before_[tier]) {
      const auto found = now.find(path);
      if (found == now.end() || found->second != stats) changed[path] = stats + " -> " + (found == now.end() ? "gone" : found->second);
    }
    for (const auto& [path, stats] : now) {
      if (before_[tier].count(path) == 0) changed[path] = "new: " + stats;
    }
    for (const auto& [path, what] : changed) {
      if (listed.count(path) == 0) wrong += "tier " + std::to_string(tier) + " /" + path + " changed and is not listed: " + what + "\n";
    }
    before_[tier] = now;
  }
  const Ran checked = Execute({TIERCTL_BINARY, "check", "--json", ConfigFile()});
  const json report = json::parse(checked.out, nullptr, false);
  ASSERT_TRUE(report.is_object()) << checked.out << checked.err;
  for (const json& finding : report["findings"]) {
    if (finding["code"].get<std::string>().rfind("catalogue", 0) == 0) wrong += finding.dump() + "\n";
  }
  const Ran rescanned = Execute({TIERCTL_BINARY, "rescan", "--json", ConfigFile()});
  const json rescan = json::parse(rescanned.out, nullptr, false);
  ASSERT_TRUE(rescan.is_object()) << rescanned.out << rescanned.err;
  if (rescan["differed"] != 0) wrong += "rescan: " + rescan["differed"].dump() + " changes that nobody had told of\n";
  std::string story;
  for (const std::string& line : story_) story += "  " + line + "\n";
  EXPECT_EQ(wrong, "") << "seed " << seed_ << ", operations " << step_ << "\n" << story;
  story_.clear();
}

TEST_F(LinkedChanges, UpdateTheRecordOfEveryName) {
  const std::uint64_t operations = Setting("TIERFS_LINKS_OPERATIONS", kOperations);
  const BusyLoops busy(2);
  // In every other run, a job keeps asking for changes, so that the feed works in many small steps.
  std::atomic<bool> done = false;
  std::thread asking([&] {
    while (!done && seed_ % 2 == 1) (void)AskDaemon(Base("state"), {{"verb", "seal"}});
  });
  for (step_ = 1; step_ <= operations && !HasFailure(); ++step_) {
    if (step_ % kLearnEvery == 0) Learn();
    Operate();
    if (step_ % kRound == 0) Judge();
  }
  if (!HasFailure()) Judge();
  handles_.clear();
  done = true;
  asking.join();
}

}  // namespace
}  // namespace tierfs::test
