// Random operations on a tierfs mount and on a plain directory. Both have to look alike all the
// time.
//
// The test suite runs each layout once, always with the same seed. A longer run, or another seed:
//   TIERFS_MODEL_OPERATIONS=1000000 TIERFS_MODEL_SEED=7
//     build/tests/model/model_test --gtest_filter='*/disks'
// TIERFS_MODEL_CHECK_EVERY=1 compares after each operation and so finds the one that went wrong. It
// does not change the seed's sequence.
#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "fs/config/config.h"
#include "fs/control/control.h"
#include "tests/model/invariants.h"
#include "tests/model/layouts.h"
#include "tests/model/model.h"
#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

constexpr std::uint64_t kSteps = 3000;
constexpr std::uint64_t kCheckEvery = 150;
// Fixed, so that the sequence of a seed does not depend on how often the trees are compared.
constexpr std::uint64_t kLearnEvery = 50;
constexpr std::uint64_t kControlEvery = 400;  // reload, settle or remount
constexpr int kDiskMegabytes = 320;           // sparse; XFS needs at least 300

std::uint64_t Setting(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

class ModelTest : public OverlayTest, public ::testing::WithParamInterface<Layout> {
 protected:
  void SetUp() override;
  void Compare();
  void Control(std::uint64_t turn);
  void Settle();
  void CheckAll();
  void WaitForSettling();
  void Restart();

  // The sequence of operations depends on the seed alone.
  const std::uint64_t seed_ = Setting("TIERFS_MODEL_SEED", 1);
  std::unique_ptr<Model> model_;
  policy::ParseResult policy_;
  TierTrees trees_;
  std::map<ino_t, ino_t> numbers_;  // the mount's inode number for each inode of the reference
  std::uint64_t step_ = 0;
};

void ModelTest::SetUp() {
  std::cout << "seed " << seed_ << std::endl;
  RecordProperty("seed", std::to_string(seed_));
  SkipKernelComparison();  // the test compares with the reference at each remount
  const Layout& layout = GetParam();
  Random random(seed_);
  std::string shared;
  if (layout.disks[0] && !layout.several_disks) shared = MakeFileSystem(*layout.disks[0], kDiskMegabytes);
  for (int tier = 1; tier <= 4; ++tier) {
    const auto disk = layout.disks[static_cast<std::size_t>(tier - 1)];
    if (!shared.empty())
      UseTier(tier, shared + "/tier" + std::to_string(tier));
    else if (disk)
      UseTier(tier, MakeFileSystem(*disk, kDiskMegabytes) + "/tree");
  }
  if (layout.lowers) {
    const std::string upper = shared.empty() ? Base("lower-upper") : shared + "/upper";
    MakeDirs(upper);
    UseLower(upper);
    FillLower(random, upper, true);
    const std::string image = Base("image");
    MakeDirs(image);
    FillLower(random, image, true);
    FillLower(random, Mnt(), false);
    const std::string merged = MountKernelOverlay({upper, image, Mnt()});
    SplitHiddenLinks(merged, {upper, image, Mnt()});
    ASSERT_EQ(UnmountWhenFree(merged), 0);
    UseLower(layout.several_disks ? MakeSquashfs(image) : image);
    UseOver();
  }
  MakeDirs(Base("reference"));
  if (layout.lowers) {
    // The kernel's overlayfs merges the lower layers. The bind mount keeps the directory beneath
    // the mountpoint reachable.
    std::vector<std::string> layers = lowers();
    MakeDirs(Base("over"));
    ASSERT_EQ(::mount(Mnt().c_str(), Base("over").c_str(), nullptr, MS_BIND, nullptr), 0) << std::strerror(errno);
    layers.push_back(Base("over"));
    trees_.lower = MountKernelOverlay(layers);
    // cp reports whiteouts that hide nothing: overlayfs lists such entries but does not find them.
    const Ran copied = Shell("cp -a " + trees_.lower + "/. " + Base("reference") + " 2>&1 | grep -v 'cannot stat'");
    ASSERT_EQ(copied.out, "");
  }
  SetPolicy(Policies()[0]);
  ASSERT_TRUE(Mount()) << Refusal();
  for (int tier = 1; tier <= 4; ++tier) trees_.roots.push_back(Tier(tier));
  trees_.several_disks = layout.several_disks;
  policy_ = LoadPolicyFile(PolicyFile());
  ASSERT_NE(policy_.policy, nullptr);
  model_ = std::make_unique<Model>(seed_, Mnt(), Base("reference"), layout.several_disks);
  model_->Settled();
}

void ModelTest::WaitForSettling() {
  for (int i = 0; i < 3000; ++i) {
    const auto status = AskDaemon(Base("state"), {{"verb", "status"}});
    ASSERT_TRUE(status);
    // The kernel reports a close to the daemon shortly after close(2) returns. Only then is the
    // file moved to its tier.
    const bool none_may_wait = model_->OpenHandles() == 0 || !model_->MayBeMisplaced();
    const bool closing = none_may_wait && !(*status)["waiting_for_close"].empty();
    if (status->value("settling", 0) == 0 && !closing) return;
    ::usleep(2000);
  }
  FAIL() << "settling does not end";
}

void ModelTest::Compare() {
  WaitForSettling();
  const Snapshot reference = TakeSnapshot(Base("reference"));
  const Snapshot shown = TakeSnapshot(Mnt());
  ASSERT_EQ(Differences(reference, shown), "") << model_->Story();

  for (const ino_t fresh : model_->TakeNewInodes()) numbers_.erase(fresh);
  std::map<ino_t, ino_t> now;
  std::map<ino_t, std::string> used;
  for (const auto& [path, record] : reference) {
    const Record& other = shown.at(path);
    now[record.st.st_ino] = other.st.st_ino;
    if (const auto before = numbers_.find(record.st.st_ino); before != numbers_.end() && !path.empty()) {
      ASSERT_EQ(before->second, other.st.st_ino) << Shown(path) << " has a new inode number\n" << model_->Story();
    }
    if (S_ISDIR(record.st.st_mode)) {
      ASSERT_TRUE(used.emplace(other.st.st_ino, path).second) << Shown(path) << " has the number of " << Shown(used[other.st.st_ino]);
    }
    if (path.empty()) continue;
    ASSERT_EQ(other.listed_ino, other.st.st_ino) << Shown(path) << " is listed with another inode number\n" << model_->Story();
    ASSERT_EQ(other.listed_type, IFTODT(other.st.st_mode)) << Shown(path);
  }
  numbers_ = std::move(now);

  const TreeReport report = CheckTrees(trees_, shown, *policy_.policy);
  ASSERT_EQ(report.problems, "") << model_->Story();
  if (!model_->MayBeMisplaced()) {
    for (const auto& [tier, path] : report.misplaced_files) {
      ASSERT_TRUE(model_->WasLinked(reference.at(path).st.st_ino)) << Shown(path) << " is misplaced in tier " << tier << "\n"
                                                                   << model_->Story();
    }
  }
  const Ran status = Execute({TIERCTL_BINARY, "status", "--json", ConfigFile()});
  std::size_t listed = 0;
  const nlohmann::json said = nlohmann::json::parse(status.out);
  for (const auto& tier : said[0]["tiers"]) listed += tier["misplaced"].get<std::size_t>();
  ASSERT_EQ(listed, report.misplaced) << "tierctl status has another count\n" << status.out;
}

void ModelTest::Settle() {
  model_->CloseAll();
  WaitForSettling();
  const Ran settled = Execute({TIERCTL_BINARY, "settle", ConfigFile()});
  model_->Note("settle");
  ASSERT_EQ(settled.code, 0) << settled.out << settled.err << model_->Story();
  model_->Settled();
  CheckAll();
}

// Runs all of `tierctl check`, which also compares the catalogue: every change must have reached
// the feed.
void ModelTest::CheckAll() {
  std::string odd;
  // A file that was closed or settled just now looks inconsistent for a moment. Only a finding that
  // stays counts.
  for (int look = 0; look < 3; ++look) {
    const Ran ran = Execute({TIERCTL_BINARY, "check", "--json", ConfigFile()});
    const nlohmann::json report = nlohmann::json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(report.is_object()) << ran.out << ran.err;
    odd.clear();
    for (const nlohmann::json& finding : report["findings"]) {
      // Compare knows which files may be misplaced.
      if (finding["code"] != "misplaced") odd += finding.dump() + "\n";
    }
    if (odd.empty()) return;
    ::usleep(500'000);
  }
  FAIL() << odd << model_->Story();
}

void ModelTest::Restart() {
  model_->CloseAll();
  WaitForSettling();
  Unmount();
  model_->Note("remount");
  numbers_.clear();
  // D2: without tierfs, the kernel's overlayfs over the trees shows the same.
  std::vector<std::string> layers = trees_.roots;
  layers.insert(layers.end(), lowers().begin(), lowers().end());
  if (GetParam().lowers) layers.push_back(Base("over"));
  const std::string shown = MountKernelOverlay(layers);
  ASSERT_EQ(Differences(WithoutDirectoryTimes(TakeSnapshot(Base("reference"))), WithoutDirectoryTimes(TakeSnapshot(shown))), "")
      << "in the kernel's overlayfs\n"
      << model_->Story();
  ASSERT_EQ(UnmountWhenFree(shown), 0);
  ASSERT_TRUE(Mount()) << Refusal();
}

void ModelTest::Control(std::uint64_t turn) {
  switch (turn % 3) {
    case 0: {
      SetPolicy(Policies()[Below(model_->random(), Policies().size())]);
      policy_ = LoadPolicyFile(PolicyFile());
      const Ran reloaded = Execute({TIERCTL_BINARY, "reload", ConfigFile()});
      model_->Note("reload");
      ASSERT_EQ(reloaded.code, 0) << reloaded.err;
      model_->ClassesChanged();
      return;
    }
    case 1:
      return Settle();
    default:
      return Restart();
  }
}

TEST_P(ModelTest, LooksLikeAPlainDirectory) {
  const std::uint64_t steps = Setting("TIERFS_MODEL_OPERATIONS", kSteps);
  const std::uint64_t check_every = Setting("TIERFS_MODEL_CHECK_EVERY", kCheckEvery);
  Compare();
  for (step_ = 1; step_ <= steps && !HasFailure(); ++step_) {
    if (step_ % kLearnEvery == 1) model_->LearnPaths();
    model_->Step();
    if (step_ % kControlEvery == 0) Control(step_ / kControlEvery);
    if (step_ % check_every == 0 && !HasFailure()) Compare();
  }
  if (HasFailure()) {
    std::cout << "to see it again: TIERFS_MODEL_SEED=" << seed_ << " TIERFS_MODEL_OPERATIONS=" << step_ << " TIERFS_MODEL_CHECK_EVERY=1 "
              << "model_test --gtest_filter='*/" << GetParam().name << "'" << std::endl;
    model_->CloseAll();
    return;
  }
  Settle();
  if (!HasFailure()) Compare();
  if (!HasFailure()) Restart();
  model_->CloseAll();
}

constexpr std::optional<FileSystem> kOwnDisk = std::nullopt;
const Layout kLayouts[] = {
    {"disk", false, false},
    {"disks", true, false, {FileSystem::kExt4, kOwnDisk, FileSystem::kTmpfs, FileSystem::kBtrfs}},
    {"lowers", false, true},
    {"disks_lowers", true, true, {FileSystem::kExt4, kOwnDisk, FileSystem::kTmpfs, FileSystem::kBtrfs}},
    {"xfs_btrfs", true, false, {FileSystem::kXfs, FileSystem::kBtrfs, kOwnDisk, FileSystem::kXfs}},
    {"xfs_btrfs_lowers", true, true, {FileSystem::kBtrfs, FileSystem::kXfs, FileSystem::kXfs, kOwnDisk}},
    {"one_xfs", false, true, {FileSystem::kXfs}},
    {"one_btrfs", false, true, {FileSystem::kBtrfs}},
    {"one_tmpfs", false, true, {FileSystem::kTmpfs}},
};

INSTANTIATE_TEST_SUITE_P(Layouts, ModelTest, ::testing::ValuesIn(kLayouts),
                         [](const auto& layout) { return std::string(layout.param.name); });

}  // namespace
}  // namespace tierfs::test
