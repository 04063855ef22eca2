// Fails every system call of an operation in turn. Afterwards the tree is in the state before or
// after the operation, never between them, and the next mount leaves nothing half done.
#ifdef TIERFS_FAULTS

#include <fcntl.h>
#include <stdio.h>

#include "fs/os/fault.h"
#include "tests/tree/fixture.h"

namespace tierfs::test {
namespace {

const Caller kRoot{};

class FailingCalls : public TreeTest {
 protected:
  // `prepare` fills the layers. `begin` looks up the operation's nodes and returns the operation.
  using Operation = std::function<Status()>;
  void Check(const std::function<void()>& prepare, const std::function<Operation()>& begin) {
    const auto start = [&] {
      Clear();
      prepare();
      Open();
    };
    start();
    const View before = Look();
    ASSERT_TRUE(begin()());
    const View after = Look();
    int failures = 0;
    for (const int error : {EIO, ENOSPC}) {
      for (int number = 1;; ++number) {
        start();
        Status done;
        std::string failed;
        {
          const Operation operation = begin();
          const FailCall fail(number, error);
          done = operation();
          failed = FailCall::Failed();
        }
        if (failed.empty()) {
          EXPECT_TRUE(done);
          break;
        }
        ++failures;
        SCOPED_TRACE("call " + std::to_string(number) + ", " + failed);
        const View now = Look();
        // The next mount finishes a step that cannot be undone. Until then the journal holds its
        // intent.
        if (journal().size() == 0) {
          EXPECT_TRUE(now == before || now == after) << Difference(now, before) << "\n or \n" << Difference(now, after);
          if (done) {
            EXPECT_EQ(Difference(now, after), "");
          }
        }
        Open();
        const View next = Look();
        EXPECT_TRUE(next == before || next == after) << Difference(next, before) << "\n or \n" << Difference(next, after);
        EXPECT_EQ(Litter(), std::vector<std::string>{});
        if (HasFailure()) return;
      }
    }
    EXPECT_GT(failures, 4);
  }

 private:
  static std::string Difference(const View& a, const View& b) {
    std::string text;
    for (const auto& [path, what] : a) {
      const auto other = b.find(path);
      if (other == b.end()) text += "only now: " + path + " " + what + "\n";
      if (other != b.end() && other->second != what) text += "differs: " + path + " " + what + "; " + other->second + "\n";
    }
    for (const auto& [path, what] : b) {
      if (a.count(path) == 0) text += "gone: " + path + " " + what + "\n";
    }
    return text;
  }
};

TEST_F(FailingCalls, Create) {
  Check([&] { Put("tier2/srv/other", "x"); },
        [&] {
          const Name name = NameAt("srv/new");
          return [this, name]() -> Status {
            TIERFS_ASSIGN(const CreatedFile created, tree().names().Create(kRoot, name.parent, name.name.c_str(), 0644, O_CREAT | O_RDWR));
            tree().Release(created.opened.handle);
            return {};
          };
        });
}

TEST_F(FailingCalls, CreateInATierThatLacksTheDirectory) {
  Check([&] { Put("tier2/srv/a/b/other", "x"); },
        [&] {
          const Name name = NameAt("srv/a/b/new.tmp");
          return [this, name]() -> Status {
            TIERFS_ASSIGN(const CreatedFile created, tree().names().Create(kRoot, name.parent, name.name.c_str(), 0644, O_CREAT | O_RDWR));
            tree().Release(created.opened.handle);
            return {};
          };
        });
}

TEST_F(FailingCalls, CreateWhereALowerEntryWasRemoved) {
  Check(
      [&] {
        Put("lower/srv/file", "lower");
        Put("tier2/srv/file", "whiteout");
      },
      [&] {
        const Name name = NameAt("srv/file");
        return [this, name]() -> Status {
          TIERFS_ASSIGN(const Entry made, tree().names().MakeSymlink(kRoot, name.parent, name.name.c_str(), "target"));
          (void)made;
          return {};
        };
      });
}

TEST_F(FailingCalls, MakeDirectoryWhereALowerOneWasRemoved) {
  Check(
      [&] {
        Put("lower/srv/dir/a", "lower");
        Put("lower/srv/dir/b", "lower");
        Put("tier2/srv/dir", "whiteout");
      },
      [&] {
        const Name name = NameAt("srv/dir");
        return [this, name]() -> Status {
          TIERFS_ASSIGN(const Entry made, tree().names().MakeDirectory(kRoot, name.parent, name.name.c_str(), 0755));
          (void)made;
          return {};
        };
      });
}

TEST_F(FailingCalls, UnlinkOverALowerFile) {
  Check(
      [&] {
        Put("lower/srv/file", "lower");
        Put("tier2/srv/file", "upper");
      },
      [&] {
        const Name name = NameAt("srv/file");
        (void)Node("srv/file");
        return [this, name] { return tree().names().Unlink(name.parent, name.name.c_str()); };
      });
}

TEST_F(FailingCalls, RemoveDirectoryOverALowerOne) {
  Check(
      [&] {
        Put("lower/srv/dir/a", "lower");
        Put("tier2/srv/dir/a", "whiteout");
        Put("tier4/srv/dir/");
      },
      [&] {
        const Name name = NameAt("srv/dir");
        (void)Node("srv/dir");
        return [this, name] { return tree().names().RemoveDirectory(name.parent, name.name.c_str()); };
      });
}

TEST_F(FailingCalls, CopyUp) {
  Check([&] { Put("lower/srv/file", "lower"); },
        [&] {
          const NodeId node = Node("srv/file");
          return [this, node]() -> Status {
            TIERFS_ASSIGN(const Opened opened, tree().Open(Caller{}, node, O_RDWR));
            tree().Release(opened.handle);
            return {};
          };
        });
}

class FailingLinks : public FailingCalls, public ::testing::WithParamInterface<bool> {
 protected:
  void Prepare() {
    Put("lower/srv/file", "lower");
    PutLink("lower/srv/file", "lower/srv/deep/file.tmp");
    PutLink("lower/srv/file", "lower/usr/file");
  }
};

TEST_P(FailingLinks, CopyUp) {
  if (GetParam()) UseTwoDisks();
  Check([&] { Prepare(); },
        [&] {
          const NodeId node = Node("usr/file");
          return [this, node]() -> Status {
            TIERFS_ASSIGN(const Opened opened, tree().Open(kRoot, node, O_RDWR));
            tree().Release(opened.handle);
            return {};
          };
        });
}

TEST_P(FailingLinks, CopyUpAndUnlink) {
  if (GetParam()) UseTwoDisks();
  Check([&] { Prepare(); },
        [&] {
          const Name name = NameAt("srv/file");
          (void)Node("srv/file");
          return [this, name] { return tree().names().Unlink(name.parent, name.name.c_str()); };
        });
}

INSTANTIATE_TEST_SUITE_P(Disks, FailingLinks, ::testing::Bool(), [](const auto& two) { return two.param ? "two" : "one"; });

class FailingRename : public FailingCalls, public ::testing::WithParamInterface<bool> {
 protected:
  void Rename(const std::string& from, const std::string& to, unsigned flags, const std::function<void()>& prepare) {
    if (GetParam()) UseTwoDisks();
    Check(prepare, [&] {
      const Name source = NameAt(from);
      const Name target = NameAt(to);
      (void)Node(from);
      if ((flags & RENAME_EXCHANGE) != 0) (void)Node(to);
      return [this, source, target, flags] {
        return tree().Rename(source.parent, source.name.c_str(), target.parent, target.name.c_str(), flags);
      };
    });
  }
};

TEST_P(FailingRename, ToAnotherTier) {
  Rename("srv/file.tmp", "srv/file", 0, [&] { Put("tier3/srv/file.tmp", "new"); });
}

TEST_P(FailingRename, ToAnotherTierOverWhatIsThere) {
  Rename("srv/file.tmp", "srv/file", 0, [&] {
    Put("tier3/srv/file.tmp", "new");
    Put("tier2/srv/file", "old");
  });
}

TEST_P(FailingRename, OfALowerFile) {
  Rename("srv/file.tmp", "srv/file", 0, [&] {
    Put("lower/srv/file.tmp", "new");
    Put("lower/srv/file", "old");
  });
}

TEST_P(FailingRename, OfADirectoryInSeveralTiers) {
  Rename("srv/dir", "srv/moved", 0, [&] {
    Put("tier2/srv/dir/file", "two");
    Put("tier3/srv/dir/file.tmp", "three");
  });
}

TEST_P(FailingRename, OfALowerDirectory) {
  Rename("srv/dir", "srv/moved", 0, [&] {
    Put("lower/srv/dir/file", "lower");
    Put("lower/srv/moved/hidden", "lower");
    Put("tier2/srv/moved", "whiteout");
    Put("tier2/srv/dir/own", "two");
  });
}

TEST_P(FailingRename, ExchangeOfDirectories) {
  Rename("srv/a", "srv/b", RENAME_EXCHANGE, [&] {
    Put("tier2/srv/a/file", "two");
    Put("tier3/srv/a/file.tmp", "three");
    Put("tier2/srv/b/other", "two");
  });
}

INSTANTIATE_TEST_SUITE_P(Disks, FailingRename, ::testing::Bool(), [](const auto& two) { return two.param ? "two" : "one"; });

class FailingSettle : public FailingCalls, public ::testing::WithParamInterface<bool> {};

TEST_P(FailingSettle, AMisplacedFile) {
  if (GetParam()) UseTwoDisks();
  Check(
      [&] {
        Put("tier3/srv/file", "misplaced");
        Put("tier2/srv/other", "x");
      },
      [&] {
        return [this]() -> Status {
          Settling settling;
          TIERFS_TRY(tree().settlement().Settle("", false, settling));
          return settling.failed > 0 ? Fail(EIO, "settling") : Status{};
        };
      });
}

INSTANTIATE_TEST_SUITE_P(Disks, FailingSettle, ::testing::Bool(), [](const auto& two) { return two.param ? "two" : "one"; });

}  // namespace
}  // namespace tierfs::test

#endif
