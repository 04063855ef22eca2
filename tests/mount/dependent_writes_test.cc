// Snapshots under writers whose writes depend on one another: an application writes one thing, and
// then another that relies on it. What a snapshot shows has to be what the trees held after one of
// those writes, on ext4, XFS and btrfs, whether the daemon sees the writes or not.
//
// The test suite makes some 100 snapshots. More of them:
//   TIERFS_INSTANT_ROUNDS=3334 build/tests/mount/mount_test --gtest_filter='*Dependent*'
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/mount/dependent_works.h"
#include "tests/mount/layers.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

// With all file systems and both modes some 100 snapshots. Under a sanitizer a round takes ten
// times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr Number kRounds = 4;
#else
constexpr Number kRounds = 17;
#endif
constexpr Number kRoundsOfTheMount = 50;
constexpr std::size_t kMostShown = 12;

Number Rounds() {
  const char* value = std::getenv("TIERFS_INSTANT_ROUNDS");
  return value == nullptr ? kRounds : std::strtoull(value, nullptr, 10);
}

// A process for each work. They tell in shared memory which step they have completed.
class Writers {
 public:
  explicit Writers(const std::vector<std::unique_ptr<Work>>& works, const std::string& root) : count_(works.size()) {
    void* const memory = ::mmap(nullptr, kShared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    completed_ = static_cast<std::atomic<Number>*>(memory);
    for (std::size_t i = 0; i < count_; ++i) {
      const pid_t child = ::fork();
      if (child == 0) Write(*works[i], root, completed_[i]);
      children_.push_back(child);
    }
  }
  ~Writers() {
    for (const pid_t child : children_) {
      if (child <= 0) continue;
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
    }
    ::munmap(completed_, kShared);
  }
  Writers(const Writers&) = delete;
  Writers& operator=(const Writers&) = delete;

  [[nodiscard]] std::vector<Number> Completed() const { return {completed_, completed_ + count_}; }
  // Waits until each writer has completed so many steps more. False if one does not.
  [[nodiscard]] bool HaveCompleted(Number more) const {
    const std::vector<Number> before = Completed();
    for (int i = 0; i < 20'000; ++i) {
      bool all = true;
      for (std::size_t each = 0; each < count_; ++each) all = all && completed_[each] >= before[each] + more;
      if (all) return true;
      ::usleep(1000);
    }
    return false;
  }

 private:
  static constexpr std::size_t kShared = 4096;

  [[noreturn]] static void Write(Work& work, const std::string& root, std::atomic<Number>& completed) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      work.Start(root);
      for (Number step = 1;; ++step) {
        work.Step(step);
        completed = step;
        if (step % 4 == 0) ::usleep(100);  // so that each gets its turn
      }
    } catch (const std::exception& problem) {
      std::cerr << work.name() << ": " << problem.what() << std::endl;
    }
    ::_exit(1);
  }

  std::size_t count_;
  std::atomic<Number>* completed_ = nullptr;
  std::vector<pid_t> children_;
};

class DependentWrites : public OverlayTest, public ::testing::WithParamInterface<FileSystem> {
 protected:
  void SetUp() override {
    const std::string disk = MakeFileSystem(GetParam(), 400);
    for (int tier = 1; tier <= 4; ++tier) UseTier(tier, disk + "/tier" + std::to_string(tier));
    SetPolicy("1 /one/\n");
    AddToConfig("snapshot.path = \"" + Base("view") + "\"");
    ASSERT_TRUE(Mount()) << Refusal();
    for (const char* directory : {"one", "two"}) MakeDirs(Mnt(directory));
    MakeDirs(Base("copies"));
    works_ = DependentWorks(Base("copies"));
    writers_ = std::make_unique<Writers>(works_, Mnt() + "/");
    ASSERT_TRUE(writers_->HaveCompleted(1));
  }
  void TearDown() override {
    writers_.reset();
    if (IsMounted()) (void)Execute({TIERCTL_BINARY, "snapshot", "delete", ConfigFile()});
    OverlayTest::TearDown();
  }
  [[nodiscard]] Ran OfSnapshot(const std::string& verb) const {
    return Execute({TIERCTL_BINARY, "snapshot", verb, "--json", ConfigFile()});
  }

  // One snapshot and its check. Returns the violations.
  void Round(Number round);
  void Report(Number round, const Shown& shown);

  std::vector<std::unique_ptr<Work>> works_;
  std::unique_ptr<Writers> writers_;
  Number rounds_ = 0;
  std::size_t violations_ = 0;
  std::int64_t longest_pause_ = 0;
};

void DependentWrites::Report(Number round, const Shown& shown) {
  for (const std::string& violation : shown.violations()) {
    if (++violations_ <= kMostShown) ADD_FAILURE() << "round " << round << ": " << violation;
  }
}

void DependentWrites::Round(Number round) {
  const std::vector<Number> before = writers_->Completed();
  const Ran created = OfSnapshot("create");
  ASSERT_EQ(created.code, 0) << created.out << created.err;
  const std::vector<Number> after = writers_->Completed();
  // The writers go on, over what the view has to show.
  ASSERT_TRUE(writers_->HaveCompleted(1 + round % 5)) << "a writer is stuck or has ended";
  Shown shown({Base("view/tier1"), Base("view/tier2")});
  for (std::size_t i = 0; i < works_.size(); ++i) {
    const auto last = works_[i]->Check(shown);
    if (last && (*last < before[i] || *last > after[i] + 1)) {
      shown.Violation(works_[i]->name() + ": shows step " + std::to_string(*last) + ", but it was at " + std::to_string(before[i]) +
                      " before and at " + std::to_string(after[i]) + " after");
    }
  }
  Report(round, shown);
  const json state = json::parse(OfSnapshot("show").out);
  EXPECT_EQ(state["level"], "barrier") << state;
  EXPECT_EQ(state["lost"], "");
  longest_pause_ = std::max(longest_pause_, state["pause"].get<std::int64_t>());
  const Ran deleted = OfSnapshot("delete");
  ASSERT_EQ(deleted.code, 0) << deleted.out << deleted.err;
  const json last = json::parse(deleted.out);
  EXPECT_EQ(last["lost"], "");
  EXPECT_EQ(last["mapped"], json::array());
  // Nor the index of SQLite's log, which is mapped: the config need not name it.
  EXPECT_EQ(last["torn"], json::array());
  ++rounds_;
}

TEST_P(DependentWrites, ASnapshotShowsThemInTheirOrder) {
  for (Number round = 1; round <= Rounds() && !HasFatalFailure(); ++round) {
    Round(round);
    // The next one comes at another point of their work.
    ::usleep(static_cast<useconds_t>(round * 7919 % 5000));
  }
  std::cout << (Passthrough() ? "passthrough, " : "through the daemon, ") << rounds_ << " rounds, " << violations_
            << " violations, longest pause " << longest_pause_ / 1000 << " us, steps";
  for (std::size_t i = 0; i < works_.size(); ++i) std::cout << " " << works_[i]->name() << " " << writers_->Completed()[i];
  std::cout << std::endl;
  RecordProperty("rounds", std::to_string(rounds_));
  RecordProperty("violations", std::to_string(violations_));
  RecordProperty("longest_pause", std::to_string(longest_pause_));
}

// The same checks find violations where no snapshot is between the writers and the reader. The two
// databases are seldom caught.
TEST_P(DependentWrites, PlainReadsShowThemOutOfOrder) {
  std::set<std::string> wrong;
  Number round = 0;
  while (++round <= kRoundsOfTheMount && wrong.size() < works_.size() - 2) {
    for (const auto& work : works_) {
      Shown shown({Mnt()});
      (void)work->Check(shown);
      if (!shown.violations().empty()) wrong.insert(work->name());
    }
    ASSERT_TRUE(writers_->HaveCompleted(1));
  }
  std::cout << wrong.size() << " of " << works_.size() << " works wrong after " << round - 1 << " rounds" << std::endl;
  EXPECT_GE(wrong.size(), works_.size() - 2);
}

INSTANTIATE_TEST_SUITE_P(On, DependentWrites, ::testing::Values(FileSystem::kExt4, FileSystem::kXfs, FileSystem::kBtrfs),
                         [](const auto& kind) {
                           return std::string(std::vector<const char*>{"ext4", "XFS", "btrfs"}[kind.index]);
                         });

}  // namespace
}  // namespace tierfs::test
