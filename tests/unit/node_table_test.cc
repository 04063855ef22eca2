// Nodes and their inode numbers: references, places, and files that move.
#include "fs/tree/node_table.h"

#include <gtest/gtest.h>

namespace tierfs {
namespace {

constexpr BackingKey kRoot{0, 2};
const LayerMask kTwo = LayerMask::Only(1);

Found Seen(std::uint64_t inode, mode_t mode, std::optional<std::uint64_t> generation = {}) {
  Found found;
  found.parts = kTwo;
  found.st.st_mode = mode;
  found.key = BackingKey{0, inode};
  found.generation = generation;
  return found;
}

class Nodes : public ::testing::Test {
 protected:
  NodePtr Dir(const NodePtr& parent, const std::string& name, std::uint64_t inode) {
    return table_.Reference(parent, name, Seen(inode, S_IFDIR | 0755));
  }
  NodePtr File(const NodePtr& parent, const std::string& name, std::uint64_t inode) {
    return table_.Reference(parent, name, Seen(inode, S_IFREG | 0644));
  }
  NodeTable table_{kRoot, LayerMask::Tiers()};
};

TEST_F(Nodes, AnInodeHasOneNodeForAllItsNames) {
  const NodePtr a = File(table_.root(), "a", 10);
  const NodePtr b = File(table_.root(), "b", 10);
  EXPECT_EQ(a, b);
  EXPECT_EQ(table_.PlaceOf(*a).name, "b");
  table_.Forget(a->id, 1);
  EXPECT_EQ(table_.Get(a->id), a) << "two references were taken";
  table_.Forget(a->id, 1);
  EXPECT_EQ(table_.Get(a->id), nullptr);
  EXPECT_EQ(table_.Find(BackingKey{0, 10}), nullptr);
}

TEST_F(Nodes, IdsAreNeverReused) {
  const NodeId first = File(table_.root(), "a", 10)->id;
  table_.Forget(first, 1);
  EXPECT_NE(File(table_.root(), "a", 10)->id.value, first.value);
  table_.Forget(kRootNode, 100);
  EXPECT_NE(table_.Get(kRootNode), nullptr) << "the kernel cannot forget the root";
}

TEST_F(Nodes, AParentStaysAsLongAsItsChildren) {
  const NodePtr dir = Dir(table_.root(), "dir", 11);
  const NodePtr file = File(dir, "file", 12);
  table_.Forget(dir->id, 1);
  EXPECT_EQ(table_.PathOf(*file), "dir/file");
  EXPECT_NE(table_.Get(dir->id), nullptr);
  table_.Forget(file->id, 1);
  EXPECT_EQ(table_.size(), 1U) << "both are gone, only the root is left";
}

TEST_F(Nodes, AResultFromBeforeAMoveIsRejected) {
  const NodePtr file = File(table_.root(), "a", 10);
  const std::uint64_t generation = table_.Generation();
  const Found seen = Seen(10, S_IFREG | 0644, generation);
  EXPECT_EQ(table_.Reference(table_.root(), "a", seen), file);
  table_.Rekey(file, BackingKey{1, 20}, LayerMask::Only(2));
  EXPECT_NE(table_.Generation(), generation);
  EXPECT_EQ(table_.Reference(table_.root(), "a", seen), nullptr) << "number 10 may be another file's by now";
  EXPECT_EQ(table_.Hold(table_.root(), "a", seen), nullptr);
  EXPECT_EQ(file->Placement(), 2) << "the place of the file stays known";
  const std::uint64_t now = table_.Generation();
  Found moved = Seen(20, S_IFREG | 0644, now);
  moved.key = BackingKey{1, 20};
  moved.parts = LayerMask::Only(2);
  EXPECT_EQ(table_.Hold(table_.root(), "a", moved), file);
  table_.Renamed(file, table_.root(), "b", LayerMask::Only(2), table_.root(), "a");
  EXPECT_EQ(table_.Generation(), now) << "another name in the same layer is no move";
}

TEST_F(Nodes, AnotherKindOnTheSameInodeIsAnotherNode) {
  const NodePtr file = File(table_.root(), "x", 10);
  const NodePtr dir = Dir(table_.root(), "x", 10);
  EXPECT_NE(file->id.value, dir->id.value);
  EXPECT_EQ(table_.Find(BackingKey{0, 10}), dir);
  table_.Forget(file->id, 1);
  EXPECT_EQ(table_.Find(BackingKey{0, 10}), dir) << "forgetting the old one leaves the new one known";
}

TEST_F(Nodes, PathsFollowRenames) {
  const NodePtr a = Dir(table_.root(), "a", 11);
  const NodePtr b = Dir(table_.root(), "b", 12);
  const NodePtr file = File(a, "file", 13);
  table_.Renamed(a, b, "moved", kTwo);
  EXPECT_EQ(table_.PathOf(*file), "b/moved/file");
  table_.Renamed(b, a, "ring", kTwo);
  EXPECT_EQ(table_.PathOf(*file), "b/moved/file") << "a directory is never beneath itself";
}

TEST_F(Nodes, AFileThatLostItsKnownNameMayHaveOthers) {
  const NodePtr file = File(table_.root(), "a", 10);
  EXPECT_FALSE(table_.PlaceOf(*file).named_elsewhere);
  table_.Unlinked(file, table_.root(), "a", false);
  EXPECT_EQ(table_.PlaceOf(*file).parent, nullptr);
  EXPECT_TRUE(table_.PlaceOf(*file).named_elsewhere);
  EXPECT_EQ(File(table_.root(), "b", 10), file);
  EXPECT_FALSE(table_.PlaceOf(*file).named_elsewhere) << "the other name has been looked up";
  table_.Unlinked(file, table_.root(), "b", true);
  EXPECT_FALSE(table_.PlaceOf(*file).named_elsewhere) << "that was the last name";
}

TEST_F(Nodes, AnUnlinkedFileHasNoPathAndFreesItsInode) {
  const NodePtr file = File(table_.root(), "x", 10);
  table_.Unlinked(file, table_.root(), "x", true);
  EXPECT_EQ(table_.PathOf(*file), std::nullopt);
  EXPECT_EQ(table_.Find(BackingKey{0, 10}), nullptr);
  EXPECT_NE(File(table_.root(), "x", 10)->id.value, file->id.value);
}

TEST_F(Nodes, AFileThatMovesKeepsItsNumberForItself) {
  const NodePtr file = File(table_.root(), "x", 10);
  const std::uint64_t number = file->ino;
  table_.Rekey(file, BackingKey{1, 99}, LayerMask::Only(2));
  EXPECT_EQ(file->ino, number);
  EXPECT_EQ(file->Placement(), 2);
  EXPECT_EQ(table_.NumberOf(BackingKey{1, 99}), number);
  const std::uint64_t other = table_.NumberOf(BackingKey{0, 10});
  EXPECT_NE(other, number) << "the old backing inode has been reused";
  EXPECT_EQ(table_.NumberOf(BackingKey{0, 10}), other);
  table_.Unlinked(file, table_.root(), "x", true);
  EXPECT_NE(table_.NumberOf(BackingKey{1, 99}), number);
}

TEST_F(Nodes, NumbersDifferByFileSystemAndDoNotDependOnTheDevice) {
  EXPECT_NE(table_.NumberOf(BackingKey{0, 10}), table_.NumberOf(BackingKey{1, 10}));
  NodeTable again{kRoot, LayerMask::Tiers()};
  EXPECT_EQ(table_.NumberOf(BackingKey{1, 10}), again.NumberOf(BackingKey{1, 10})) << "the same after a remount";
  const std::uint64_t huge = table_.NumberOf(BackingKey{0, ~std::uint64_t{0}});
  EXPECT_NE(huge, table_.NumberOf(BackingKey{0, ~std::uint64_t{0} >> 8}))
      << "a number of more than 56 bits does not collide with another file";
}

TEST(States, AreRecomputedWhenTheirPlaceOrThePolicyChanges) {
  const auto parsed = policy::Parse("3 /cache/\n1 *.conf\n", "t", nullptr);
  NodeTable table{kRoot, LayerMask::Tiers()};
  const NodePtr dir = table.Reference(table.root(), "srv", Seen(11, S_IFDIR));
  const auto tier_of = [&](const policy::Policy& rules, std::uint64_t epoch) {
    return NumberOf(rules.Classify(table.StateOf(*dir, rules, epoch), "x", false).tier);
  };
  EXPECT_EQ(tier_of(*parsed.policy, 1), 2);
  table.Renamed(dir, table.root(), "cache", kTwo);
  EXPECT_EQ(tier_of(*parsed.policy, 1), 3);
  const auto other = policy::Parse("4 /cache/\n", "t", nullptr);
  EXPECT_EQ(tier_of(*other.policy, 2), 4);
}

}  // namespace
}  // namespace tierfs
