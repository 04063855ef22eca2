// The feed on plain directories. The test reports changes as the tree would.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <thread>

#include "fs/catalog/catalog.h"
#include "tests/catalog/support.h"

namespace tierfs::test {
namespace {

namespace fs = std::filesystem;
using Change = Feed::Change;

class FeedTest : public InDirectory {
 protected:
  FeedTest() {
    fs::create_directories(Path("state"));
    fs::create_directories(Path("t1"));
    fs::create_directories(Path("t2"));
  }

  void Open(std::int64_t kept = 1000) {
    catalog_.reset();
    // A file recorded within one clock tick of its change counts as changed at the next comparison.
    ::usleep(20000);
    FeedOptions options;
    options.trees = {{0, Path("t1")}, {1, Path("t2")}};
    options.kept_deletions = kept;
    catalog_ = std::make_unique<Catalog>(Path("state"), std::move(options));
    catalog_->Start();
  }
  Catalog& catalog() { return *catalog_; }
  Token Seal() {
    const auto token = catalog_->Seal();
    EXPECT_TRUE(token) << token.error().step;
    return token ? *token : Token{};
  }
  // Returns lines such as "A a" and "M b/c".
  std::vector<std::string> Since(const std::optional<Token>& token, LayerIndex tier = 1, Full expected = Full::kNo) {
    std::vector<std::string> lines;
    Full full{};
    const Status read = catalog_->database().Read([&](Connection& connection) {
      full = ListChanges(connection, tier, token,
                         [&](const ChangedPath& change) { lines.push_back(std::string(1, change.what) + " " + change.path); });
    });
    EXPECT_TRUE(read);
    EXPECT_EQ(static_cast<int>(full), static_cast<int>(expected));
    return lines;
  }
  void Touch(const std::string& path, Change change) { catalog_->feed()->Touched(1, path, change); }
  void Link(const std::string& path, const std::string& name) { fs::create_hard_link(Path("t2/" + path), Path("t2/" + name)); }
  [[nodiscard]] std::uint64_t InodeOf(const std::string& path) const {
    struct stat st {};
    EXPECT_EQ(::lstat(Path("t2/" + path).c_str(), &st), 0) << path;
    return st.st_ino;
  }
  // The number of entries whose record differs from the tree.
  std::uint64_t Unrecorded() {
    const auto differed = catalog_->feed()->Rescan();
    EXPECT_TRUE(differed);
    return differed.value_or(1);
  }
  void Put(const std::string& path, const std::string& bytes) {
    Write(Path("t2/" + path), bytes);
    Touch(path, Change::kContent);
  }

 private:
  std::unique_ptr<Catalog> catalog_;
};

using Lines = std::vector<std::string>;

TEST_F(FeedTest, EachPathIsListedOnceWithItsLastState) {
  fs::create_directories(Path("t2/d"));
  Write(Path("t2/d/old"), "old");
  Write(Path("t2/gone"), "gone");
  // See Open: a recording within one clock tick of the change would count as a change.
  ::usleep(20000);
  Open();
  const Token start = Seal();
  EXPECT_EQ(Since(std::nullopt, 1, Full::kNoToken), (Lines{"A ", "A d", "A d/old", "A gone"}));
  EXPECT_EQ(Since(start), Lines{});
  Put("new", "1");
  Put("new", "2");
  Put("d/old", "changed");
  fs::remove(Path("t2/gone"));
  Touch("gone", Change::kName);
  Put("briefly", "x");
  fs::remove(Path("t2/briefly"));
  Touch("briefly", Change::kName);
  const Token second = Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "M d/old", "D gone", "A new"}));
  EXPECT_EQ(Since(second), Lines{});
  ::chmod(Path("t2/new").c_str(), 0600);
  Touch("new", Change::kAttributes);
  Seal();
  EXPECT_EQ(Since(second), (Lines{"m new"}));
  EXPECT_EQ(Since(start), (Lines{"m ", "M d/old", "D gone", "A new"}));
}

TEST_F(FeedTest, RewritingTheSameBytesIsAMetadataChange) {
  Open();
  Seal();
  Put("a", "the same");
  Put("b", "one");
  const Token first = Seal();
  for (int i = 0; i < 200 && catalog().checksummer()->Summed() < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_EQ(catalog().checksummer()->Summed(), 2U);
  Put("a", "the same");
  Put("b", "two");
  const Token second = Seal();
  EXPECT_EQ(Since(first), (Lines{"m a", "M b"}));
  // A later write is compared with the content that the last token covered.
  Put("b", "one");
  Seal();
  EXPECT_EQ(Since(second), (Lines{"M b"}));
}

TEST_F(FeedTest, ARenamedDirectoryIsListedAsDeletedAndAdded) {
  fs::create_directories(Path("t2/a/x"));
  fs::create_directories(Path("t2/a!"));
  Write(Path("t2/a/x/f"), "f");
  Write(Path("t2/a!/stays"), "s");
  Open();
  const Token start = Seal();
  fs::rename(Path("t2/a"), Path("t2/b"));
  Touch("a", Change::kSubtree);
  Touch("b", Change::kSubtree);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "D a", "D a/x", "D a/x/f", "A b", "A b/x", "A b/x/f"}));
}

TEST_F(FeedTest, AChangeWithoutAHintIsListedAfterARestart) {
  Write(Path("t2/a"), "a");
  Write(Path("t2/b"), "b");
  fs::create_directories(Path("t2/d/e"));
  Write(Path("t2/d/e/f"), "f");
  Open();
  const Token start = Seal();
  ::usleep(20000);
  Write(Path("t2/a"), "other");
  fs::remove(Path("t2/b"));
  fs::remove_all(Path("t2/d"));
  Write(Path("t2/d"), "now a file");
  Open();  // as after a crash
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "M a", "D b", "M d", "D d/e", "D d/e/f"}));
}

TEST_F(FeedTest, HardLinksAndWhiteoutsAreListed) {
  Write(Path("t2/one"), "1");
  fs::create_hard_link(Path("t2/one"), Path("t2/two"));
  Open();
  const Token start = Seal();
  ::usleep(20000);
  Put("one", "changed");
  ASSERT_EQ(::mknod(Path("t2/hidden").c_str(), S_IFCHR, makedev(0, 0)), 0);
  Touch("hidden", Change::kName);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "A hidden", "M one", "M two"}));
}

// A backup that reads while the directory is away sees it gone, though the feed never did.
TEST_F(FeedTest, ADirectoryMovedAwayAndBackIsListedWithEverythingBeneath) {
  fs::create_directories(Path("t2/d/e"));
  Write(Path("t2/d/e/f"), "1");
  Write(Path("t2/d/gone"), "1");
  Write(Path("t2/d0"), "1");
  Open();
  (void)Seal();
  fs::remove(Path("t2/d/gone"));
  Touch("d/gone", Change::kName);
  const Token start = Seal();
  ::usleep(20000);
  fs::rename(Path("t2/d"), Path("t2/away"));
  fs::rename(Path("t2/away"), Path("t2/d"));
  Touch("d", Change::kSubtree);
  Touch("away", Change::kSubtree);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "m d", "m d/e", "m d/e/f", "D d/gone"}));
}

// A change of a file reaches the records of all its names, even if another entry has taken the
// reported path by then.
TEST_F(FeedTest, AFileWhoseNameWasReusedIsListedByItsOtherNames) {
  for (const std::string name : {"file", "whiteout", "directory"}) {
    Write(Path("t2/" + name), "1");
    Link(name, name + ".other");
  }
  Open();
  const Token start = Seal();
  ::usleep(20000);
  for (const std::string name : {"file", "whiteout", "directory"}) fs::remove(Path("t2/" + name));
  Write(Path("t2/file"), "2");
  Link("file", "file.new");
  ASSERT_EQ(::mknod(Path("t2/whiteout").c_str(), S_IFCHR, makedev(0, 0)), 0);
  fs::create_directories(Path("t2/directory"));
  Touch("file", Change::kName);
  Touch("file.new", Change::kName);
  Touch("whiteout", Change::kName);
  Touch("directory", Change::kSubtree);
  Seal();
  EXPECT_EQ(Since(start),
            (Lines{"m ", "M directory", "m directory.other", "M file", "A file.new", "m file.other", "M whiteout", "m whiteout.other"}));
  EXPECT_EQ(Unrecorded(), 0U);
}

TEST_F(FeedTest, AFileInAMovedDirectoryIsListedByItsOtherNames) {
  fs::create_directories(Path("t2/d"));
  fs::create_directories(Path("t2/e"));
  Write(Path("t2/d/a"), "1");
  Link("d/a", "other");
  Write(Path("t2/e/a"), "2");
  Open();
  const Token start = Seal();
  ::usleep(20000);
  ::chmod(Path("t2/d/a").c_str(), 0600);
  ASSERT_EQ(::renameat2(AT_FDCWD, Path("t2/d").c_str(), AT_FDCWD, Path("t2/e").c_str(), RENAME_EXCHANGE), 0);
  Touch("d/a", Change::kAttributes);
  Touch("d", Change::kSubtree);
  Touch("e", Change::kSubtree);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "m d", "M d/a", "m e", "M e/a", "M other"}));
  EXPECT_EQ(Unrecorded(), 0U);
}

// If the feed looks at a path between a change and its hint, the hint shows nothing new there.
TEST_F(FeedTest, AHintReachesTheOtherNamesEvenIfItsOwnNameShowsNoChange) {
  Write(Path("t2/a"), "1");
  Link("a", "b");
  Open();
  Seal();
  ::usleep(20000);
  ::chmod(Path("t2/a").c_str(), 0600);
  ::usleep(20000);
  const auto seen = Observer(catalog().feed()->RootOf(1)).At("a");
  ASSERT_TRUE(seen);
  GoneHashes gone;
  for (const bool told : {false, true}) {
    std::vector<Hint> further;
    ASSERT_TRUE(catalog().database().Write(Durability::kLazy, [&](Connection& connection) {
      Recorder recorder(connection, MetaNumber(connection, "seq") + 1, gone, told ? &further : nullptr);
      recorder.Record(Sight{1, Change::kAttributes, "a", *seen});
      EXPECT_EQ(recorder.Changed(), !told);
    }));
    ASSERT_EQ(further.size(), told ? 1U : 0U);
  }
  Touch("a", Change::kAttributes);
  Seal();
  EXPECT_EQ(Unrecorded(), 0U);
}

TEST_F(FeedTest, AShortLivedLinkUpdatesTheOtherNamesOfItsInode) {
  Write(Path("t2/a"), "1");
  Link("a", "b");
  Write(Path("t2/single"), "1");
  Open();
  const Token start = Seal();
  ::usleep(20000);
  Link("a", "briefly");
  fs::remove(Path("t2/briefly"));
  Touch("briefly", Change::kName);
  catalog().feed()->LinkedTouched(InodeOf("a"), Change::kName);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "m a", "m b"}));
  // The file has one name only, so it is not recorded among files with several names.
  Write(Path("t2/single"), "2");
  catalog().feed()->NamelessTouched(InodeOf("single"), Change::kContent);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "m a", "m b", "M single"}));
  EXPECT_EQ(Unrecorded(), 0U);
}

TEST_F(FeedTest, AFileThatMayHaveChangedWithoutANewTimeIsListedByEachName) {
  Write(Path("t2/a"), "1");
  Link("a", "b");
  ::usleep(20000);
  Open();
  const Token start = Seal();
  Touch("a", Change::kUnknown);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"M a", "M b"}));
}

TEST_F(FeedTest, AFileWithThousandsOfNamesIsListedByEachName) {
  constexpr int kNames = 3000;
  fs::create_directories(Path("t2/d"));
  Write(Path("t2/a"), "1");
  Open();
  const Token start = Seal();
  for (int i = 0; i < kNames; ++i) {
    Link("a", "d/" + std::to_string(i));
    Touch("d/" + std::to_string(i), Change::kName);
  }
  Touch("a", Change::kName);
  Seal();
  EXPECT_EQ(Since(start).size(), kNames + 2U) << "a, d, and the entries of d";
  ::usleep(20000);
  const Token second = Seal();
  ::chmod(Path("t2/a").c_str(), 0600);
  fs::rename(Path("t2/d"), Path("t2/e"));
  Touch("d", Change::kSubtree);
  Touch("e", Change::kSubtree);
  Seal();
  EXPECT_EQ(Since(second).size(), 2 * kNames + 4U) << "the root, a, d, e, and the entries of d before and after";
  EXPECT_EQ(Unrecorded(), 0U);
}

TEST_F(FeedTest, TokensThatCannotBeAnsweredAreRefused) {
  Open(10);
  const Token start = Seal();
  for (int i = 0; i < 50; ++i) Put("f" + std::to_string(i), "x");
  Seal();
  for (int i = 0; i < 50; ++i) {
    fs::remove(Path("t2/f" + std::to_string(i)));
    Touch("f" + std::to_string(i), Change::kName);
  }
  Seal();
  for (int i = 0; i < 30 && Since(std::nullopt, 1, Full::kNoToken).size() != 1; ++i) ::usleep(100000);
  for (int i = 0; i < 50; ++i) {
    ::usleep(100000);
    std::int64_t kept = 0;
    ASSERT_TRUE(catalog().database().Read([&](Connection& connection) { kept = MetaNumber(connection, "kept.2"); }));
    if (kept > start.seq) break;
  }
  EXPECT_EQ(Since(start, 1, Full::kTooOld), (Lines{"A "}));
  EXPECT_EQ(Since(Token{"0123", 3}, 1, Full::kOtherDatabase), (Lines{"A "}));
  EXPECT_EQ(Since(Token{start.database, 1 << 30}, 1, Full::kOtherDatabase), (Lines{"A "}));
  EXPECT_FALSE(Token::Parse("nonsense"));
  EXPECT_FALSE(Token::Parse("ab-12x"));
  EXPECT_EQ(Token::Parse(start.Render())->seq, start.seq);
}

TEST_F(FeedTest, ALostDatabaseIsRebuiltAndOldTokensAreForeign) {
  Write(Path("t2/a"), "a");
  Open();
  const Token start = Seal();
  Write(Path("state/catalog.db"), "garbage, and not even a page of it");
  Open();
  Seal();
  EXPECT_EQ(Since(start, 1, Full::kOtherDatabase), (Lines{"A ", "A a"}));
}

TEST_F(FeedTest, AnOverflowingQueueOfHintsLosesNoChange) {
  Open();
  const Token start = Seal();
  fs::create_directories(Path("t2/d"));
  for (int i = 0; i < 3; ++i) Write(Path("t2/d/real" + std::to_string(i)), "x");
  for (std::size_t i = 0; i < 3 * HintQueue::kCapacity; ++i) Touch("d/none" + std::to_string(i), Change::kName);
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "A d", "A d/real0", "A d/real1", "A d/real2"}));
  EXPECT_GT(catalog().feed()->Now().overflows, 0U);
}

TEST_F(FeedTest, NamesAreBytes) {
  Open();
  const Token start = Seal();
  const std::string name = std::string("\xff\n\1") + std::string(252, 'n');
  Put(name, "x");
  Seal();
  EXPECT_EQ(Since(start), (Lines{"m ", "A " + name}));
}

}  // namespace
}  // namespace tierfs::test
