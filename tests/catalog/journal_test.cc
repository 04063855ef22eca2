#include "fs/catalog/catalog.h"
#include "fs/catalog/schema.h"
#include "tests/catalog/support.h"

namespace tierfs::test {
namespace {

class JournalTest : public InDirectory {};

Intent Example(const std::string& what) {
  return Intent{what,
                {{Step::Kind::kPublish, 1, 2, std::string("a/\xff\n", 4), "to", 77}, {Step::Kind::kRemove, 3, 0, "a/b", "", 1ULL << 63}}};
}

TEST_F(JournalTest, UnfinishedIntentsAreFoundAgainInOrder) {
  {
    Catalog catalog(Path());
    const auto first = catalog.journal().Begin(Example("first"));
    const auto second = catalog.journal().Begin(Example("second"));
    const auto third = catalog.journal().Begin(Example("third"));
    ASSERT_TRUE(first && second && third);
    catalog.journal().Finish(*second);
    EXPECT_EQ(catalog.journal().UnderWay(), (std::vector<std::string>{"first", "third"}));
  }
  Catalog catalog(Path());
  const auto open = catalog.journal().Open();
  ASSERT_TRUE(open);
  ASSERT_EQ(open->size(), 2U);
  EXPECT_EQ((*open)[0].second.what, "first");
  const Intent& third = (*open)[1].second;
  EXPECT_EQ(third.what, "third");
  ASSERT_EQ(third.steps.size(), 2U);
  EXPECT_EQ(third.steps[0].kind, Step::Kind::kPublish);
  EXPECT_EQ(third.steps[0].layer, 1);
  EXPECT_EQ(third.steps[0].path, std::string("a/\xff\n", 4));
  EXPECT_EQ(third.steps[0].inode, 77U);
  EXPECT_EQ(third.steps[0].to_layer, 2);
  EXPECT_EQ(third.steps[0].to, "to");
  EXPECT_EQ(third.steps[1].inode, 1ULL << 63);
  EXPECT_EQ(catalog.health().CurrentTrouble(), "");
  for (const auto& [id, intent] : *open) catalog.journal().Finish(id);
  const auto none = catalog.journal().Open();
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST_F(JournalTest, ABrokenDatabaseIsMovedAsideAndTheLastThreeAreKept) {
  for (int round = 0; round < 5; ++round) {
    Write(Path("catalog.db"), std::string(8192, static_cast<char>('a' + round)));
    Catalog catalog(Path());
    EXPECT_EQ(catalog.health().CurrentTrouble(), "");
    ASSERT_EQ(catalog.health().Notes().size(), 1U);
    EXPECT_NE(catalog.health().Notes()[0].find("damaged-"), std::string::npos);
    ASSERT_TRUE(catalog.journal().Begin(Example("x")));
  }
  EXPECT_FALSE(std::filesystem::exists(Path("catalog.db.damaged-2")));
  EXPECT_EQ(Read(Path("catalog.db.damaged-5")), std::string(8192, 'e'));
  EXPECT_EQ(Read(Path("catalog.db.damaged-3")), std::string(8192, 'c'));
}

TEST_F(JournalTest, OpenIntentsOfADatabaseFromTheFutureAreCarriedOver) {
  {
    Catalog catalog(Path());
    ASSERT_TRUE(catalog.journal().Begin(Example("first")));
  }
  {
    SQLite::Database database(Path("catalog.db"), SQLite::OPEN_READWRITE);
    database.exec("PRAGMA user_version = 99");
  }
  Catalog catalog(Path());
  ASSERT_EQ(catalog.health().Notes().size(), 1U);
  EXPECT_NE(catalog.health().Notes()[0].find("version 99"), std::string::npos);
  const auto open = catalog.journal().Open();
  ASSERT_TRUE(open);
  ASSERT_EQ(open->size(), 1U);
  EXPECT_EQ((*open)[0].second.what, "first");
}

// A database of another application or another schema version is kept unchanged, under another
// name.
TEST_F(JournalTest, ADatabaseOfAnotherVersionIsKeptAside) {
  for (const auto& [version, why] : std::map<int, std::string>{{7, "version 7"}, {-1, "version -1"}, {0, "it is not a catalogue"}}) {
    SCOPED_TRACE(version);
    for (const auto& entry : std::filesystem::directory_iterator(Path())) std::filesystem::remove(entry.path());
    {
      Catalog catalog(Path());
      ASSERT_TRUE(catalog.journal().Begin(Example("under way")));
    }
    {
      SQLite::Database database(Path("catalog.db"), SQLite::OPEN_READWRITE);
      database.exec("PRAGMA user_version = " + std::to_string(version) + "; CREATE TABLE later(x); INSERT INTO later VALUES('kept')");
    }
    Catalog catalog(Path());
    EXPECT_EQ(catalog.health().CurrentTrouble(), "");
    ASSERT_EQ(catalog.health().Notes().size(), 1U);
    EXPECT_NE(catalog.health().Notes()[0].find(why), std::string::npos) << catalog.health().Notes()[0];
    const auto open = catalog.journal().Open();
    ASSERT_TRUE(open);
    ASSERT_EQ(open->size(), 1U);
    EXPECT_EQ((*open)[0].second.what, "under way");
    SQLite::Database aside(Path("catalog.db.damaged-1"), SQLite::OPEN_READONLY);
    EXPECT_EQ(aside.execAndGet("PRAGMA user_version").getInt(), version);
    EXPECT_EQ(aside.execAndGet("SELECT x FROM later").getString(), "kept");
    EXPECT_EQ(aside.execAndGet("SELECT count(*) FROM intents").getInt(), 1);
  }
}

// The replacement database is complete before the old one is moved aside. An incomplete replacement
// is dropped.
TEST_F(JournalTest, AnInterruptedReplacementIsCompletedOrDropped) {
  {
    Catalog catalog(Path());
    ASSERT_TRUE(catalog.journal().Begin(Example("under way")));
  }
  const auto under_way = [&] {
    Catalog catalog(Path());
    EXPECT_EQ(catalog.health().CurrentTrouble(), "");
    EXPECT_TRUE(catalog.health().Notes().empty());
    const auto open = catalog.journal().Open();
    EXPECT_TRUE(open);
    return open ? open->size() : 0;
  };
  Write(Path("catalog.db.new"), "half made");
  EXPECT_EQ(under_way(), 1U);
  EXPECT_FALSE(std::filesystem::exists(Path("catalog.db.new")));
  std::filesystem::rename(Path("catalog.db"), Path("catalog.db.new"));
  Write(Path("catalog.db-wal"), "the log of the old one");
  EXPECT_EQ(under_way(), 1U);
  EXPECT_FALSE(std::filesystem::exists(Path("catalog.db.new")));
}

// A program killed while it creates the database leaves an empty file, or one without tables.
TEST_F(JournalTest, AnEmptyFileBecomesACatalogue) {
  for (const bool has_header : {false, true}) {
    for (const auto& entry : std::filesystem::directory_iterator(Path())) std::filesystem::remove(entry.path());
    Write(Path("catalog.db"), "");
    if (has_header)
      SQLite::Database(Path("catalog.db"), SQLite::OPEN_READWRITE).exec("PRAGMA journal_mode = WAL; PRAGMA user_version = 0; VACUUM");
    Catalog catalog(Path());
    EXPECT_TRUE(catalog.health().Notes().empty()) << catalog.health().Notes()[0];
    ASSERT_TRUE(catalog.journal().Begin(Example("first")));
    EXPECT_EQ(SQLite::Database(Path("catalog.db"), SQLite::OPEN_READONLY).execAndGet("PRAGMA user_version").getInt(), kSchemaVersion);
  }
}

TEST_F(JournalTest, IntentsWorkWithoutADatabase) {
  Catalog catalog(Path("nowhere"));
  EXPECT_NE(catalog.health().CurrentTrouble(), "");
  const auto id = catalog.journal().Begin(Example("first"));
  ASSERT_TRUE(id);
  EXPECT_EQ(catalog.journal().UnderWay().size(), 1U);
  catalog.journal().Finish(*id);
  EXPECT_TRUE(catalog.journal().UnderWay().empty());
}

TEST_F(JournalTest, ADatabaseThatBreaksInUseIsRebuiltWithTheOpenIntents) {
  Catalog catalog(Path());
  ASSERT_TRUE(catalog.journal().Begin(Example("first")));
  {
    SQLite::Database database(Path("catalog.db"), SQLite::OPEN_READWRITE);
    database.exec("DROP TABLE steps; DROP TABLE intents");
  }
  ASSERT_TRUE(catalog.journal().Begin(Example("second")));
  EXPECT_EQ(catalog.health().Notes().size(), 1U);
  const auto open = catalog.journal().Open();
  ASSERT_TRUE(open);
  ASSERT_EQ(open->size(), 2U);
  EXPECT_EQ((*open)[1].second.what, "second");
  EXPECT_EQ(catalog.health().CurrentTrouble(), "");
}

}  // namespace
}  // namespace tierfs::test
