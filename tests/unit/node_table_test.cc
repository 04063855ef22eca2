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

TEST_F(Nodes, TheIdIsTheInodeNumberUnlessAnotherNodeHasIt) {
  const NodePtr first = File(table_.root(), "a", 10);
  EXPECT_EQ(first->id.value, first->ino);
  EXPECT_EQ(table_.KeyOfNumber(first->id), (BackingKey{0, 10}));
  table_.Forget(first->id, 1);
  EXPECT_EQ(File(table_.root(), "a", 10)->id, first->id) << "a file handle leads to it again";
  table_.Unlinked(table_.Get(first->id), table_.root(), "a", true);
  const NodePtr later = File(table_.root(), "b", 10);
  EXPECT_NE(later->id, first->id) << "the kernel still has the removed file";
  EXPECT_EQ(table_.KeyOfNumber(later->id), std::nullopt);
  EXPECT_EQ(table_.KeepExactly(NodeId{12345}), nullptr);
  EXPECT_NE(File(table_.root(), "c", kRootNode.value)->id, kRootNode) << "an inode with the number of the root";
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

TEST_F(Nodes, AFileThatMovesKeepsItsGenerationForItself) {
  const BackingKey from{0, 10};
  const BackingKey to{1, 99};
  const NodePtr file = File(table_.root(), "x", 10);
  table_.Identify(*file, from, 7);
  EXPECT_EQ(file->generation, 7U);
  table_.Rekey(file, to, LayerMask::Only(2));
  EXPECT_FALSE(file->identified);
  table_.Identify(*file, from, 7);
  EXPECT_FALSE(file->identified) << "this was asked of the old backing inode";
  table_.Identify(*file, to, 1000);
  EXPECT_EQ(file->generation, 7U) << "the kernel knows it";
  EXPECT_EQ(table_.KeyOfNumber(file->id), to);
  table_.Forget(file->id, 1);
  Found found = Seen(99, S_IFREG);
  found.key = to;
  const NodePtr again = table_.Reference(table_.root(), "x", found);
  EXPECT_EQ(again->id, file->id);
  table_.Identify(*again, to, 1000);
  EXPECT_EQ(again->generation, 7U);
  table_.Forget(again->id, 1);
  const NodePtr other = table_.Reference(table_.root(), "x", found);
  table_.Identify(*other, to, 1001);
  EXPECT_NE(other->generation, 7U) << "a later file on the same backing inode";
}

TEST_F(Nodes, AnUnknownGenerationIsNeverUsedAgain) {
  const NodePtr a = File(table_.root(), "a", 10);
  const NodePtr b = File(table_.root(), "b", 11);
  for (const NodePtr& node : {a, b}) table_.Identify(*node, node->key, Fail(EOPNOTSUPP, "none"));
  EXPECT_NE(a->generation, 0U);
  EXPECT_NE(a->generation.load(), b->generation.load());
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
