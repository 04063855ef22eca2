#include "fs/catalog/catalog.h"
#include "tests/catalog/support.h"

namespace tierfs::test {
namespace {

class JournalTest : public InDirectory {};

Intent Example(const std::string& what) {
  return Intent{what,
                {{Step::Kind::kPublish, 1, 2, std::string("a/\xff\n", 4), "to", 77}, {Step::Kind::kRemove, 3, 0, "a/b", "", 1ULL << 63}}};
}

TEST_F(JournalTest, WhatIsNotFinishedIsFoundAgainInOrder) {
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

TEST_F(JournalTest, WithoutAPlaceForTheDatabaseOperationsGoOn) {
  Catalog catalog(Path("nowhere"));
  EXPECT_NE(catalog.health().CurrentTrouble(), "");
  const auto id = catalog.journal().Begin(Example("first"));
  ASSERT_TRUE(id);
  EXPECT_EQ(catalog.journal().UnderWay().size(), 1U);
  catalog.journal().Finish(*id);
  EXPECT_TRUE(catalog.journal().UnderWay().empty());
}

TEST_F(JournalTest, ADatabaseThatBreaksWhileInUseIsMadeAnewWithWhatIsUnderWay) {
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
