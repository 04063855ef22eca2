// A tree on temporary directories, without a mount.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/tree/tree.h"
#include "tests/tree/fakes.h"

namespace tierfs::test {

// The entry at each path: "directory 755 ", "file 644 content", "file 644 2 links content".
using View = std::map<std::string, std::string>;

class TreeTest : public ::testing::Test {
 public:
  // The policy of each test.
  static constexpr const char* kRules = "2 *\n1 /etc/\n3 /cache/\n3 *.tmp\n4 /usr/\n";

 protected:
  TreeTest();
  ~TreeTest() override;

  // Puts tier 3 on its own file system. Call it before the first Open.
  void UseTwoDisks();
  void UsePassthrough() { passthrough_ = true; }

  // Empties every layer and destroys the tree.
  void Clear();
  // Puts a file into a layer, or a directory if there is a trailing slash: "tier2/srv/file",
  // "lower/etc/conf".
  void Put(const std::string& place, const std::string& content = "");
  // Gives a file in a layer another name in the same layer.
  void PutLink(const std::string& place, const std::string& other);
  // Builds the tree over the layers as a mount does: first it finishes or undoes the intents in the
  // journal.
  void Open();
  void Close();

  [[nodiscard]] Tree& tree() { return *tree_; }
  // The node of a path, with a lookup reference that is never dropped.
  [[nodiscard]] NodeId Node(const std::string& path);
  // The directory and name of a path, for calls that take those.
  struct Name {
    NodeId parent;
    std::string name;
  };
  [[nodiscard]] Name NameAt(const std::string& path);

  // The merged view, as lookups and listings show it.
  [[nodiscard]] View Look();
  // The tiers with an entry at the path, such as "1 3". A whiteout counts as "w3".
  [[nodiscard]] std::string TiersWith(const std::string& path) const;
  // The entries of the work directories.
  [[nodiscard]] std::vector<std::string> Litter() const;

  [[nodiscard]] std::string Base(const std::string& below) const { return base_ + "/" + below; }
  [[nodiscard]] FakeJournal& journal() { return journal_; }
  [[nodiscard]] FakeFeed& feed() { return feed_; }
  [[nodiscard]] FakeKernel& kernel() { return *kernel_; }

 private:
  void LookInto(NodeId directory, const std::string& path, View& view);
  [[nodiscard]] std::string TierPath(int number) const;

  std::string base_;
  bool two_disks_ = false;
  bool passthrough_ = false;
  FakeJournal journal_;
  FakeFeed feed_;
  std::unique_ptr<FakeKernel> kernel_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace tierfs::test
