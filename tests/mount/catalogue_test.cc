// The catalogue of a real mount: what is in it, and what happens when it cannot be used.
#include <SQLiteCpp/SQLiteCpp.h>

#include <nlohmann/json.hpp>

#include "tests/mount/fixture.h"

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
};

TEST_F(Catalogue, AnIntentThatAnEarlierDaemonLeftDoesNotKeepTheMountDown) {
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

TEST_F(Catalogue, ADatabaseThatIsGarbageIsPutAsideAndTheMountComesUp) {
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

TEST_F(Catalogue, WithoutAPlaceForItTheMountComesUpAndSaysSo) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  for (const char* part : {"", "-wal", "-shm"}) ::unlink((Database() + part).c_str());
  MakeDirs(Database() + "/in the way");  // renamed aside, as damage is
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
}

}  // namespace
}  // namespace tierfs::test
