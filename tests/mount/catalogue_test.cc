// The catalogue of a real mount: its content, and a mount whose catalogue cannot be used.
#include <SQLiteCpp/SQLiteCpp.h>

#include <nlohmann/json.hpp>

#include "tests/mount/layers.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Catalogue : public MountTest {
 protected:
  json Status() const {
    const Ran ran = Execute({TIERCTL_BINARY, "status", "--json", ConfigFile()});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return json::parse(ran.out, nullptr, false)[0]["daemon"]["catalogue"];
  }
  [[nodiscard]] std::string Database() const { return Base("state/catalog.db"); }
  // The output of `tierctl changes` once the rebuilt catalogue is complete.
  [[nodiscard]] Ran ListingOnceMadeAnew() const {
    Ran changes;
    for (int i = 0; i < 100; ++i) {
      changes = Execute({TIERCTL_BINARY, "changes", ConfigFile()});
      if (changes.code == 0) break;
      ::usleep(100'000);
    }
    return changes;
  }
};

TEST_F(Catalogue, AMountStartsDespiteAnIntentOfAnEarlierDaemon) {
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Status()["trouble"], "");
  EXPECT_EQ(Status()["open_intents"], json::array());
  Unmount();
  {
    SQLite::Database database(Database(), SQLite::OPEN_READWRITE);
    database.exec("INSERT INTO intents VALUES(5, 'nothing \x1b[31m at all')");
  }
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
}

TEST_F(Catalogue, AGarbageDatabaseIsPutAsideAndTheMountComesUp) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  Unmount();
  WriteFile(Database(), std::string(10000, 'x'));
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  const json status = Status();
  EXPECT_EQ(status["trouble"], "");
  ASSERT_EQ(status["notes"].size(), 1U);
  EXPECT_NE(status["notes"][0].get<std::string>().find(Database() + ".damaged-1"), std::string::npos) << status;
  EXPECT_NE(Execute({TIERCTL_BINARY, "status", Mnt()}).out.find("damaged-1"), std::string::npos);
}

// With any damage to the database, the mount comes up, files can be written and read, and `tierctl
// status` reports the damage.
TEST_F(Catalogue, EveryKindOfDamageLeavesAWorkingMount) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (int i = 0; i < 300; ++i) WriteFile(Mnt("file" + std::to_string(i)), "x");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "changes", ConfigFile()}).code, 0);
  Unmount();
  const std::string healthy = ReadFile(Database());
  ASSERT_GT(healthy.size(), 30000U);
  std::string holes = healthy;
  for (std::size_t at = 4096; at < holes.size(); at += 1000) holes.replace(at, 8, "nonsense");
  std::string later = healthy;
  later.replace(60, 4, std::string("\0\0\0\x63", 4));  // user_version
  const std::map<std::string, std::string> kinds = {
      {"empty", ""},        {"truncated", healthy.substr(0, 10000)}, {"cut within the header", healthy.substr(0, 50)},
      {"holes", holes},     {"garbage", std::string(50000, 'g')},    {"from a later version", later},
      {"text", "not mine"},
  };
  for (const auto& [kind, bytes] : kinds) {
    SCOPED_TRACE(kind);
    for (const char* part : {"-wal", "-shm"}) ::unlink((Database() + part).c_str());
    WriteFile(Database(), bytes);
    ASSERT_TRUE(Mount()) << Refusal();
    WriteFile(Mnt("new"), kind);
    EXPECT_EQ(ReadFile(Mnt("new")), kind);
    // The first listing may be the one that finds the damaged page. The second then reads the new
    // database.
    (void)Execute({TIERCTL_BINARY, "changes", ConfigFile()});
    const Ran changes = ListingOnceMadeAnew();
    EXPECT_EQ(changes.code, 0) << changes.err;
    EXPECT_NE(changes.out.find("A file299\n"), std::string::npos);
    EXPECT_EQ(Status()["trouble"], "");
    EXPECT_EQ(Status()["notes"].size(), kind == "empty" ? 0U : 1U) << Status();
    EXPECT_EQ(Execute({TIERCTL_BINARY, "check", ConfigFile()}).code, 0);
    Unmount();
  }
}

// An older program comes back. The mount comes up, a job with an older token has to copy
// everything, and the newer program's database is kept for its return.
TEST_F(Catalogue, ADatabaseOfALaterVersionIsKeptAndItsTokensListEverything) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  const json before = json::parse(Execute({TIERCTL_BINARY, "changes", "--json", ConfigFile()}).out);
  Unmount();
  const int later = 2;
  {
    SQLite::Database database(Database(), SQLite::OPEN_READWRITE);
    database.exec("PRAGMA user_version = " + std::to_string(later) + "; ALTER TABLE entries ADD COLUMN owner INTEGER DEFAULT 5");
  }
  const Ran check = Execute({TIERCTL_BINARY, "check", ConfigFile()});
  EXPECT_EQ(check.code, 1);
  EXPECT_NE(check.out.find("it is of version 2, this is version 1"), std::string::npos) << check.out;
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  EXPECT_NE(Status()["notes"][0].get<std::string>().find("version 2"), std::string::npos) << Status();
  WriteFile(Mnt("b"), "b");
  (void)ListingOnceMadeAnew();
  const Ran changes = Execute({TIERCTL_BINARY, "changes", "--since", before["token"], ConfigFile()});
  EXPECT_EQ(changes.code, 4) << changes.err;
  EXPECT_NE(changes.out.find("A a\nA b\n"), std::string::npos) << changes.out;
  SQLite::Database kept(Database() + ".damaged-1", SQLite::OPEN_READONLY);
  EXPECT_EQ(kept.execAndGet("PRAGMA user_version").getInt(), later);
  EXPECT_EQ(kept.execAndGet("SELECT owner FROM entries WHERE path = CAST('a' AS BLOB)").getInt(), 5);
}

TEST_F(Catalogue, ADatabaseThatBreaksWhileMountedIsRebuilt) {
  ASSERT_TRUE(Mount()) << Refusal();
  for (int i = 0; i < 300; ++i) WriteFile(Mnt("file" + std::to_string(i)), "x");
  const Ran first = Execute({TIERCTL_BINARY, "changes", ConfigFile()});
  ASSERT_EQ(first.code, 0);
  Unmount();
  ASSERT_TRUE(Mount()) << Refusal();
  {
    SQLite::Database database(Database(), SQLite::OPEN_READWRITE, 5000);
    database.exec("DROP TABLE entries");
  }
  WriteFile(Mnt("new"), "x");
  const Ran changes = ListingOnceMadeAnew();
  EXPECT_EQ(changes.code, 0) << changes.err;
  EXPECT_NE(changes.out.find("A new\n"), std::string::npos);
  EXPECT_EQ(Status()["notes"].size(), 1U) << Status();
  EXPECT_EQ(ReadFile(Mnt("file7")), "x");
}

class CatalogueElsewhere : public OverlayTest {};

TEST_F(CatalogueElsewhere, OnAFullDiskTheMountServesAndTheFeedReturnsWithTheSpace) {
  const std::string disk = MakeFileSystem(FileSystem::kTmpfs, 1);
  MakeDirs(Base("state"));
  ASSERT_EQ(Execute({"mount", "--bind", disk, Base("state")}).code, 0);
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("before"), "x");
  ASSERT_EQ(Execute({TIERCTL_BINARY, "changes", ConfigFile()}).code, 0);
  (void)Shell("dd if=/dev/zero of=" + Base("state/filler") + " bs=1k 2>/dev/null");
  for (int i = 0; i < 3000; ++i) WriteFile(Mnt("file" + std::to_string(i)), "x");
  EXPECT_EQ(ReadFile(Mnt("file2999")), "x");
  const Ran refused = Execute({TIERCTL_BINARY, "changes", ConfigFile()});
  EXPECT_EQ(refused.code, 3) << "a token needs recorded changes";
  EXPECT_NE(refused.err.find("catalog.db"), std::string::npos) << refused.err;
  const Ran status = Execute({TIERCTL_BINARY, "status", ConfigFile()});
  // The status shows the latest failure: a write of the database, or the comparison that needed it.
  const std::size_t trouble = status.out.find("\n  catalogue    ");
  ASSERT_NE(trouble, std::string::npos) << status.out;
  EXPECT_LT(status.out.find(Base("state/catalog.db"), trouble), status.out.find('\n', trouble + 1)) << status.out;
  Unmount();
  ASSERT_TRUE(Mount()) << Refusal();  // the disk is full from the beginning
  WriteFile(Mnt("after"), "x");
  ASSERT_EQ(::unlink(Base("state/filler").c_str()), 0);
  ASSERT_EQ(Execute({"mount", "-o", "remount,size=64m", disk}).code, 0);
  Ran changes;
  for (int i = 0; i < 200; ++i) {
    changes = Execute({TIERCTL_BINARY, "changes", ConfigFile()});
    if (changes.code == 0) break;
    ::usleep(100'000);
  }
  EXPECT_EQ(changes.code, 0) << changes.err;
  for (const char* name : {"A before\n", "A file2999\n", "A after\n"}) EXPECT_NE(changes.out.find(name), std::string::npos) << name;
  Unmount();
  ASSERT_EQ(UnmountWhenFree(Base("state")), 0);
}

TEST_F(CatalogueElsewhere, OnAReadOnlyDiskTheMountComesUp) {
  const std::string disk = MakeFileSystem(FileSystem::kTmpfs, 16);
  MakeDirs(Base("state"));
  ASSERT_EQ(Execute({"mount", "--bind", disk, Base("state")}).code, 0);
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "x");
  Unmount();
  ASSERT_EQ(Execute({"mount", "-o", "remount,ro,bind", Base("state")}).code, 0);
  // The read-only disk has no control socket, so tierctl cannot reach this mount.
  ASSERT_EQ(Execute({TIERFS_BINARY, ConfigFile(), Mnt()}).code, 0);
  WriteFile(Mnt("b"), "y");
  EXPECT_EQ(ReadFile(Mnt("a")), "x");
  EXPECT_EQ(ReadFile(Tier(2, "b")), "y");
  ASSERT_EQ(UnmountWhenFree(Mnt()), 0);
  // This waits until the daemon has closed its files.
  EXPECT_EQ(UnmountWhenFree(Base("state")), 0);
}

TEST_F(Catalogue, ADirectoryInPlaceOfTheDatabaseIsPutAside) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((Database() + part).c_str());
  MakeDirs(Database() + "/in the way");  // renamed aside, like a damaged database
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
}

}  // namespace
}  // namespace tierfs::test
