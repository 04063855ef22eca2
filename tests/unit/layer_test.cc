// Sets of layers, the marks in layers, and the merged stat of a directory's parts.
#include "fs/tier/layer.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "fs/tier/entry.h"
#include "tests/unit/support.h"

namespace tierfs {
namespace {

TEST(LayerMask, IsASetWithTheUppermostFirst) {
  const LayerMask mask = LayerMask::Only(5).With(1).With(40);
  std::vector<int> layers;
  for (const LayerIndex layer : mask) layers.push_back(layer);
  EXPECT_EQ(layers, (std::vector<int>{1, 5, 40}));
  EXPECT_EQ(mask.First(), 1);
  EXPECT_EQ(mask.InTiers(), LayerMask::Only(1));
  EXPECT_EQ(mask.InLower(), LayerMask::Only(5).With(40));
  EXPECT_EQ(mask.Without(1).First(), 5);
  EXPECT_FALSE(mask.Single());
  EXPECT_TRUE(mask.InTiers().Single());
  EXPECT_EQ(LayerMask().First(), kNoLayer);
  EXPECT_TRUE(LayerMask().Empty());
}

TEST(LayerMask, TiersAreTheFirstFourLayers) {
  for (const TierId tier : {TierId::kBuild, TierId::kData, TierId::kState, TierId::kBulk}) {
    EXPECT_EQ(TierOf(LayerOf(tier)), tier);
    EXPECT_TRUE(IsTier(LayerOf(tier)));
  }
  EXPECT_FALSE(IsTier(kTierCount));
}

struct stat DirStat(mode_t mode, time_t mtime, time_t ctime, ino_t inode) {
  struct stat st {};
  st.st_mode = S_IFDIR | mode;
  st.st_mtim = {mtime, 5};
  st.st_ctim = {ctime, 5};
  st.st_ino = inode;
  st.st_nlink = 7;
  return st;
}

TEST(MergedStat, TakesTheFirstPartsAttributesAndTheNewestTimes) {
  MergedStat merged;
  EXPECT_TRUE(merged.Empty());
  merged.Add(DirStat(0750, 100, 400, 1));
  EXPECT_EQ(merged.Get().st_nlink, 7U);
  merged.Add(DirStat(0700, 300, 200, 2));
  EXPECT_EQ(merged.Get().st_nlink, 1U) << "a count of 1 tells find that the real one is unknown";
  EXPECT_EQ(merged.Get().st_mode & 07777, 0750U);
  EXPECT_EQ(merged.Get().st_mtim.tv_sec, 300);
  EXPECT_EQ(merged.Get().st_ctim.tv_sec, 400);
  EXPECT_EQ(merged.Get().st_ino, 1U);
}

TEST(MergedStat, IgnoresAPartThatACrashLeftUnfinished) {
  MergedStat merged;
  merged.Add(DirStat(kUnfinishedDirMode, 900, 900, 1));
  EXPECT_FALSE(merged.Finished());
  merged.Add(DirStat(0750, 100, 100, 2));
  EXPECT_TRUE(merged.Finished());
  EXPECT_EQ(merged.Get().st_mode & 07777, 0750U);
  EXPECT_EQ(merged.Get().st_ino, 1U) << "the identity stays that of the first part";
  EXPECT_TRUE(IsUnfinishedDir(DirStat(kUnfinishedDirMode | S_ISGID, 0, 0, 1))) << "mkdir inherits setgid from the parent";
  EXPECT_FALSE(IsUnfinishedDir(DirStat(01777, 0, 0, 1)));
}

TEST(Whiteout, IsACharacterDeviceWithoutNumbers) {
  struct stat st {};
  st.st_mode = S_IFCHR | 0644;
  EXPECT_TRUE(IsWhiteout(st));
  st.st_rdev = makedev(1, 3);
  EXPECT_FALSE(IsWhiteout(st));
  st.st_rdev = 0;
  st.st_mode = S_IFBLK;
  EXPECT_FALSE(IsWhiteout(st));
}

TEST(LayerSet, KeysDifferByFileSystemNotByLayer) {
  const test::TempDir dir;
  std::vector<std::string> tiers;
  for (int tier = 1; tier <= 4; ++tier) {
    tiers.push_back(dir / ("tier" + std::to_string(tier)));
    test::MakeDirs(tiers.back());
  }
  const auto set = LayerSet::Open(tiers, {"/proc"}, UniqueFd());
  ASSERT_TRUE(set);
  EXPECT_EQ(set->size(), 5);
  EXPECT_TRUE(set->SameMount(0, 3));
  EXPECT_FALSE(set->SameMount(0, 4));
  const struct stat st = test::Stat(tiers[2]);
  EXPECT_EQ(set->KeyOf(0, st), set->KeyOf(2, st));
  struct stat other = st;
  other.st_dev = test::Stat("/proc").st_dev;
  EXPECT_FALSE(set->KeyOf(4, other) == set->KeyOf(2, st));
  other.st_dev = st.st_dev + 77777;
  EXPECT_GE(set->KeyOf(0, other).file_system, 0x10000U) << "a mount beneath the tier has its own key space";
  EXPECT_FALSE(LayerSet::Open({dir / "none"}, {}, UniqueFd()));
}

}  // namespace
}  // namespace tierfs
