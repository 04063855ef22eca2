// Files that move between tiers while other threads look at them; what the kernel is told; and a
// journal that takes no intent.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/tree/fixture.h"

namespace tierfs::test {
namespace {

constexpr const char* kOtherRules = "2 *\n3 /srv/\n";  // the fixture's rules keep /srv in tier 2

// The parameter: tier 3 on a file system of its own, so that a move copies.
class Moves : public TreeTest, public ::testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) UseTwoDisks();
    Clear();
  }

  void SettleUnder(const std::string& rules) {
    const auto parsed = policy::Parse(rules, "test", {});
    ASSERT_TRUE(parsed.policy);
    tree().classifier().SetPolicy(parsed.policy);
    Settling settling;
    ASSERT_TRUE(tree().settlement().Settle("", false, settling));
    ASSERT_EQ(settling.failed, 0U);
  }
};

TEST_P(Moves, ALookupNeverMissesAFileThatSettles) {
  for (const char* name : {"a", "b", "c", "d"}) Put(std::string("tier2/srv/") + name, "content");
  Open();
  const NodeId directory = Node("srv");
  std::atomic<bool> stop{false};
  std::atomic<int> looks{0};
  std::atomic<int> missed{0};
  std::atomic<int> listed{0};
  std::atomic<int> listed_wrong{0};
  std::thread lookups([&] {
    while (!stop) {
      for (const char* name : {"a", "b", "c", "d"}) {
        const auto entry = tree().Lookup(directory, name);
        if (!entry || entry->id.value == 0) {
          ++missed;
        } else {
          tree().Forget(entry->id, 1);
        }
        ++looks;
      }
    }
  });
  std::thread listings([&] {
    while (!stop) {
      const auto entries = tree().List(directory);
      if (!entries || entries->size() != 6) ++listed_wrong;  // with "." and ".."
      ++listed;
    }
  });
  // A listing looks twice, so it finds a file that moves once meanwhile.
  const auto wait_for_a_new_listing = [&] {
    for (const int before = listed; listed < before + 2;) ::usleep(100);
  };
  for (int round = 0; round < 40 && !HasFailure(); ++round) {
    SettleUnder(kOtherRules);
    EXPECT_EQ(TiersWith("srv/a"), "3");
    wait_for_a_new_listing();
    SettleUnder(TreeTest::kRules);
    EXPECT_EQ(TiersWith("srv/a"), "2");
    wait_for_a_new_listing();
  }
  stop = true;
  lookups.join();
  listings.join();
  EXPECT_GT(looks, 0);
  EXPECT_EQ(missed, 0);
  EXPECT_EQ(listed_wrong, 0);
}

TEST_P(Moves, AnOpenNeverMissesAFileThatSettles) {
  Put("tier2/srv/file", "content");
  Open();
  const NodeId node = Node("srv/file");
  std::atomic<bool> stop{false};
  std::atomic<int> failed{0};
  std::thread reader([&] {
    while (!stop) {
      const auto opened = tree().Open(Caller{}, node, O_RDONLY);
      if (!opened) {
        ++failed;
        continue;
      }
      char content[16] = {};
      const int fd = tree().FileOf(opened->handle)->Data()->get();
      if (::pread(fd, content, sizeof content, 0) != 7 || std::string(content) != "content") ++failed;
      tree().Release(opened->handle);
    }
  });
  for (int round = 0; round < 40 && !HasFailure(); ++round) {
    SettleUnder(kOtherRules);
    SettleUnder(TreeTest::kRules);
  }
  stop = true;
  reader.join();
  EXPECT_EQ(failed, 0);
}

TEST_P(Moves, TheNodeAndItsInodeNumberStay) {
  Put("tier2/srv/file", "content");
  Open();
  const NodeId node = Node("srv/file");
  const auto before = tree().inodes().GetAttributes(node, {});
  ASSERT_TRUE(before);
  (void)kernel().TakeInvalidations();
  SettleUnder(kOtherRules);
  EXPECT_EQ(Node("srv/file").value, node.value);
  const auto after = tree().inodes().GetAttributes(node, {});
  ASSERT_TRUE(after);
  EXPECT_EQ(after->st.st_ino, before->st.st_ino);
  EXPECT_EQ(after->st.st_mtim.tv_nsec, before->st.st_mtim.tv_nsec);
  // The copy on the other disk has another change time and block count.
  const auto told = kernel().TakeInvalidations();
  EXPECT_EQ(told, GetParam() ? std::vector<std::string>{"attributes " + std::to_string(node.value)} : std::vector<std::string>{});
}

TEST_P(Moves, DroppingTheCachesTellsTheKernelOfEachNode) {
  Put("tier2/srv/file", "content");
  Open();
  const NodeId directory = Node("srv");
  const NodeId file = Node("srv/file");
  (void)kernel().TakeInvalidations();
  EXPECT_GE(tree().DropCaches(), 2U);
  const auto told = kernel().TakeInvalidations();
  const auto was_told = [&](const std::string& text) { return std::find(told.begin(), told.end(), text) != told.end(); };
  EXPECT_TRUE(was_told("entry " + std::to_string(directory.value) + " file"));
  EXPECT_TRUE(was_told("data " + std::to_string(file.value)));
}

TEST_P(Moves, WithoutAnIntentARenameAcrossTiersChangesNothing) {
  Put("tier3/srv/file.tmp", "new");
  Put("tier2/srv/file", "old");
  Open();
  const Name from = NameAt("srv/file.tmp");
  const Name to = NameAt("srv/file");
  (void)Node("srv/file.tmp");
  (void)Node("srv/file");
  const View before = Look();
  journal().Refuse(true);
  const Status renamed = tree().Rename(from.parent, from.name.c_str(), to.parent, to.name.c_str(), 0);
  ASSERT_EQ(renamed.has_value(), !GetParam()) << "on one file system the rename is a single step and needs no intent";
  if (GetParam()) {
    EXPECT_EQ(renamed.error().code, EIO);
    EXPECT_EQ(Look(), before);
  }
  EXPECT_EQ(Litter(), std::vector<std::string>{});
  journal().Refuse(false);
  EXPECT_EQ(tree().Rename(from.parent, from.name.c_str(), to.parent, to.name.c_str(), 0).has_value(), GetParam());
  EXPECT_EQ(Look().at("srv/file"), "file 644 new");
  EXPECT_EQ(TiersWith("srv/file"), "2");
}

TEST_P(Moves, EachChangedTierIsReported) {
  Put("tier3/srv/file.tmp", "new");
  Open();
  const Name from = NameAt("srv/file.tmp");
  (void)Node("srv/file.tmp");
  (void)feed().Take();
  ASSERT_TRUE(tree().Rename(from.parent, "file.tmp", from.parent, "file", 0));
  const auto reports = feed().Take();
  EXPECT_NE(std::find(reports.begin(), reports.end(), "2 srv/file"), reports.end());
}

INSTANTIATE_TEST_SUITE_P(Disks, Moves, ::testing::Bool(), [](const auto& two) { return two.param ? "two" : "one"; });

}  // namespace
}  // namespace tierfs::test
