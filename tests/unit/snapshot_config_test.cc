// The tables [snapshot] and [[snapshot.hook]] of a config.
#include <algorithm>

#include "fs/config/config.h"
#include "tests/unit/support.h"

namespace tierfs::test {
namespace {

class SnapshotTable : public ::testing::Test {
 protected:
  // A config of seven lines, and these.
  [[nodiscard]] ConfigResult<Config> Load(const std::string& more) const {
    WriteFile(dir_ / "m.toml",
              "name = \"m\"\nrules = \"1 *\"\nstate = \"state\"\nlower = [\"low\"]\n"
              "version.repo = \"git\"\n\ntier = {1 = \"t1\", 2 = \"t2\", 3 = \"t3\", 4 = \"t4\"}\n" +
                  more);
    return LoadConfig(dir_ / "m.toml");
  }
  void ExpectError(const std::string& more, std::size_t line, const std::string& message) const {
    const auto config = Load(more);
    ASSERT_FALSE(config) << more;
    EXPECT_EQ(config.error().Render(), (dir_ / "m.toml") + ":" + std::to_string(line) + ": " + message);
  }
  void ExpectNotApart(const std::string& keys, const std::string& part) const {
    const auto config = Load("[snapshot]\n" + keys);
    ASSERT_TRUE(config) << config.error().Render();
    const auto apart = CheckApart(*config, dir_ / "mnt");
    ASSERT_FALSE(apart) << keys;
    EXPECT_NE(apart.error().message.find(part), std::string::npos) << apart.error().Render();
  }

  TempDir dir_;
};

TEST_F(SnapshotTable, ThatIsFull) {
  const auto config = Load(R"([snapshot]
path = "snap"
store = "/store"
store_limit = "2G"
barrier_limit = "500ms"
at_least = "per-file"
may_be_mapped = ["*.map"]
[[snapshot.hook]]
when = "hold"
run = ["mariadb-lock", "--all"]
container = "db"
timeout = "2m"
on_error = "warn"
[[snapshot.hook]]
run = ["sync"]
[[snapshot.hook]]
when = "post"
run = ["logger", "done"]
on_error = "fail"
)");
  ASSERT_TRUE(config) << config.error().Render();
  ASSERT_TRUE(config->snapshot);
  const SnapshotConfig& snapshot = *config->snapshot;
  EXPECT_EQ(snapshot.path, dir_ / "snap");
  EXPECT_EQ(snapshot.store, "/store");
  EXPECT_EQ(snapshot.store_limit, 2ULL << 30);
  EXPECT_EQ(snapshot.barrier_limit, std::chrono::milliseconds(500));
  EXPECT_EQ(snapshot.at_least, SnapshotLevel::kPerFile);
  EXPECT_EQ(snapshot.may_be_mapped, std::vector<std::string>{"*.map"});
  ASSERT_EQ(snapshot.hooks.size(), 3U);
  EXPECT_EQ(snapshot.hooks[0].when, SnapshotHook::When::kHold);
  EXPECT_EQ(snapshot.hooks[0].run, (std::vector<std::string>{"mariadb-lock", "--all"}));
  EXPECT_EQ(snapshot.hooks[0].container, "db");
  EXPECT_EQ(snapshot.hooks[0].timeout, std::chrono::minutes(2));
  EXPECT_FALSE(snapshot.hooks[0].must_succeed);
  EXPECT_EQ(snapshot.hooks[1].when, SnapshotHook::When::kPre);
  EXPECT_EQ(snapshot.hooks[1].container, "");
  EXPECT_EQ(snapshot.hooks[1].timeout, std::chrono::seconds(30));
  EXPECT_TRUE(snapshot.hooks[1].must_succeed);
  EXPECT_EQ(snapshot.hooks[2].when, SnapshotHook::When::kPost);
  EXPECT_TRUE(snapshot.hooks[2].must_succeed);
  EXPECT_EQ(config->LineOf("snapshot.store"), 10U);
  EXPECT_TRUE(CheckApart(*config, dir_ / "mnt"));
}

TEST_F(SnapshotTable, ThatIsShortOrAbsent) {
  const auto config = Load("[snapshot]\npath = \"/snap\"\n");
  ASSERT_TRUE(config) << config.error().Render();
  ASSERT_TRUE(config->snapshot);
  EXPECT_EQ(config->snapshot->store, "");
  EXPECT_EQ(config->snapshot->store_limit, 10ULL << 30);
  EXPECT_EQ(config->snapshot->barrier_limit, std::chrono::seconds(2));
  EXPECT_EQ(config->snapshot->at_least, SnapshotLevel::kBarrier);
  EXPECT_EQ(config->snapshot->may_be_mapped, (std::vector<std::string>{"*-shm", "lock.mdb"}));
  EXPECT_TRUE(config->snapshot->hooks.empty());

  const auto none = Load("[snapshot]\npath = \"/snap\"\nmay_be_mapped = []\nhook = []\n");
  ASSERT_TRUE(none) << none.error().Render();
  EXPECT_TRUE(none->snapshot->may_be_mapped.empty());
  EXPECT_TRUE(none->snapshot->hooks.empty());

  const auto without = Load("");
  ASSERT_TRUE(without) << without.error().Render();
  EXPECT_FALSE(without->snapshot);
}

TEST_F(SnapshotTable, AWrongKeyIsNamedWithItsLine) {
  const std::string head = "[snapshot]\npath = \"/snap\"\n";
  ExpectError("snapshot = 3\n", 8, "'snapshot' has to be a table: [snapshot]");
  ExpectError("[snapshot]\n", 8, "no path for the snapshots; add: path = \"/srv/m/snapshot\"");
  ExpectError("[[snapshot.hook]]\nrun = [\"a\"]\n", 8, "no path for the snapshots; add: path = \"/srv/m/snapshot\"");
  ExpectError("[snapshot]\npath = 3\n", 9, "'snapshot.path' has to be a string in quotes");
  ExpectError(head + "stroe = \"/x\"\n", 10,
              "unknown key 'snapshot.stroe'; known keys: path, store, store_limit, barrier_limit, at_least, may_be_mapped, hook");
  ExpectError(head + "store = \"\"\n", 10, "'snapshot.store' has to be a string in quotes");
  ExpectError(head + "store_limit = 3\n", 10, "'snapshot.store_limit' has to be a string in quotes");
  ExpectError(head + "store_limit = \"3X\"\n", 10, "'snapshot.store_limit' has to be a size such as \"500K\", \"1M\" or \"2G\"");
  ExpectError(head + "\nbarrier_limit = \"2\"\n", 11,
              "'snapshot.barrier_limit' has to be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\"");
  ExpectError(head + "barrier_limit = \"0s\"\n", 10, "'snapshot.barrier_limit' has to be longer than 0");
  ExpectError(head + "at_least = \"atomic\"\n", 10, "'snapshot.at_least' has to be one of \"per-file\", \"barrier\"");
  ExpectError(head + "may_be_mapped = \"*\"\n", 10, "'snapshot.may_be_mapped' has to be a list of strings");
  ExpectError(head + "may_be_mapped = [\"a/b\"]\n", 10,
              "'snapshot.may_be_mapped' has to be names of files, without a slash; \"*\" stands for any text");
}

TEST_F(SnapshotTable, AWrongHookIsNamedWithItsLine) {
  const std::string head = "[snapshot]\npath = \"/snap\"\n";
  ExpectError(head + "hook = \"sync\"\n", 10, "'snapshot.hook' has to be a list of tables, each under [[snapshot.hook]]");
  ExpectError(head + "[snapshot.hook]\nrun = [\"a\"]\n", 10, "'snapshot.hook' has to be a list of tables, each under [[snapshot.hook]]");
  ExpectError(head + "hook = [\"sync\"]\n", 10, "'snapshot.hook' has to be a table: [[snapshot.hook]]");
  const std::string one = head + "[[snapshot.hook]]\nrun = [\"a\"]\nwhen = \"post\"\n[[snapshot.hook]]\n";
  ExpectError(one, 13, "a hook without a program; add: run = [\"PROGRAM\", \"ARGUMENT\"]");
  ExpectError(one + "run = []\n", 14, "a hook without a program; add: run = [\"PROGRAM\", \"ARGUMENT\"]");
  ExpectError(one + "run = \"a\"\n", 14, "'snapshot.hook.run' has to be a list of strings");
  ExpectError(one + "run = [\"a\"]\nwhen = \"after\"\n", 15, "'snapshot.hook.when' has to be one of \"pre\", \"hold\", \"post\"");
  ExpectError(one + "run = [\"a\"]\ncontainer = \"-it\"\n", 15, "'snapshot.hook.container' may not begin with a dash");
  ExpectError(one + "run = [\"a\"]\ncontainer = 7\n", 15, "'snapshot.hook.container' has to be a string in quotes");
  ExpectError(one + "run = [\"a\"]\ntimeout = \"0s\"\n", 15, "'snapshot.hook.timeout' has to be longer than 0");
  ExpectError(one + "run = [\"a\"]\ntimeout = \"soon\"\n", 15,
              "'snapshot.hook.timeout' has to be a time such as \"500ms\", \"2s\", \"5m\" or \"1h\"");
  ExpectError(one + "run = [\"a\"]\non_error = \"stop\"\n", 15, "'snapshot.hook.on_error' has to be one of \"fail\", \"warn\"");
  ExpectError(one + "run = [\"a\"]\nruns = [\"a\"]\n", 15,
              "unknown key 'snapshot.hook.runs'; known keys: when, run, container, timeout, on_error");
}

TEST_F(SnapshotTable, ItsDirectoriesAreApartFromTheOthers) {
  ExpectNotApart("path = \"t2\"\n", "tier 2 and the directory of the snapshots are one directory");
  ExpectNotApart("path = \"t2/s\"\n", "is within tier 2");
  ExpectNotApart("path = \".\"\n", "is within the directory of the snapshots");
  ExpectNotApart("path = \"low/s\"\n", "is within the lower layer");
  ExpectNotApart("path = \"mnt/s\"\n", "is within the mountpoint");
  ExpectNotApart("path = \"state/s\"\n", "is within the state directory");
  ExpectNotApart("path = \"git/s\"\n", "is within the repository");
  const std::string path = "path = \"snap\"\n";
  ExpectNotApart(path + "store = \"snap\"\n", "are one directory");
  ExpectNotApart(path + "store = \"snap/s\"\n", "is within the directory of the snapshots");
  ExpectNotApart(path + "store = \"t1/s\"\n", "is within tier 1");
  ExpectNotApart(path + "store = \"low\"\n", "are one directory");
  ExpectNotApart(path + "store = \"mnt/s\"\n", "is within the mountpoint");
  ExpectNotApart(path + "store = \"state\"\n", "are one directory");
  ExpectNotApart(path + "store = \".\"\n", "is within the store of the snapshots");
  const auto inside = Load("[snapshot]\n" + path + "store = \"state/snap\"\n");
  ASSERT_TRUE(inside) << inside.error().Render();
  const auto apart = CheckApart(*inside, dir_ / "mnt");
  EXPECT_TRUE(apart) << apart.error().Render();
}

TEST_F(SnapshotTable, EachKeyIsInTheHelp) {
  for (const std::string key : {"path", "store", "store_limit", "barrier_limit", "at_least", "may_be_mapped", "hook.when", "hook.run",
                                "hook.container", "hook.timeout", "hook.on_error"}) {
    EXPECT_TRUE(std::any_of(ConfigKeys().begin(), ConfigKeys().end(), [&](const ConfigKey& each) {
      return each.name == "snapshot." + key;
    })) << key;
  }
}

}  // namespace
}  // namespace tierfs::test
