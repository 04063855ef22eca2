// tierctl on a real mount: its output as text and as JSON, and its errors.
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "fs/os/unique_fd.h"
#include "tests/mount/fixture.h"
#include "tests/mount/unmount.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class Tierctl : public MountTest {
 protected:
  static Ran Call(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  static json Json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const Ran ran = Call(std::move(arguments));
    EXPECT_EQ(ran.code, 0) << ran.err;
    return json::parse(ran.out, nullptr, false);
  }
};

TEST_F(Tierctl, StatusCountsFilesAndBytesOfEachTier) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/a"), std::string(10000, 'a'));
  ASSERT_EQ(::link(Mnt("usr/a").c_str(), Mnt("usr/b").c_str()), 0);
  WriteFile(Mnt("c"), "c");
  const json status = Json({"status", ConfigFile()})[0];
  EXPECT_EQ(status["name"], "test");
  EXPECT_EQ(status["mounted"], true);
  EXPECT_EQ(status["daemon"]["mountpoint"], Mnt());
  EXPECT_EQ(status["daemon"]["passthrough"], Passthrough());
  EXPECT_EQ(status["daemon"]["rules"], 5);
  EXPECT_EQ(status["tiers"][3]["path"], Tier(4));
  EXPECT_EQ(status["tiers"][3]["files"], 1) << "one file with two names";
  EXPECT_EQ(status["tiers"][3]["bytes"], 12288);
  EXPECT_EQ(status["tiers"][1]["files"], 1);
  EXPECT_EQ(status["tiers"][1]["misplaced"], 0);
  EXPECT_GT(status["tiers"][1]["free"].get<std::uint64_t>(), 0U);
  const Ran text = Call({"status", Mnt()});
  EXPECT_EQ(text.code, 0);
  EXPECT_NE(text.out.find("mounted at   " + Mnt()), std::string::npos) << text.out;
  Unmount();
  EXPECT_EQ(Json({"status", ConfigFile()})[0]["mounted"], false);
}

TEST_F(Tierctl, AMountCanBeMadeByRelativePaths) {
  ASSERT_TRUE(Mount()) << Refusal();
  Unmount();
  const Ran ran = Execute({"/bin/sh", "-c", "cd \"$1\" && exec \"$0\" test.toml mnt", TIERFS_BINARY, Base("")});
  EXPECT_EQ(ran.code, 0) << ran.err;
  WriteFile(Mnt("a"), "a");
  EXPECT_EQ(TreesWith("a"), std::set<int>{2});
  EXPECT_EQ(UnmountWhenFree(Mnt()), 0);
}

TEST_F(Tierctl, StatusListsMisplacedFilesAndSettleMovesThem) {
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("a"), "a");
  SetPolicy("3 /a\n");
  ASSERT_EQ(Call({"reload", ConfigFile()}).code, 0);
  const json before = Json({"status", ConfigFile()})[0];
  EXPECT_EQ(before["tiers"][1]["misplaced"], 1);
  EXPECT_EQ(before["tiers"][1]["misplaced_paths"][0], "a");
  EXPECT_EQ(Json({"settle", "-n", ConfigFile()})["moved"], 1);
  EXPECT_EQ(TreesWith("a"), std::set<int>{2}) << "-n moves nothing";
  EXPECT_EQ(Json({"settle", ConfigFile()})["moved"], 1);
  EXPECT_EQ(TreesWith("a"), std::set<int>{3});
  EXPECT_EQ(ReadFile(Mnt("a")), "a");
  EXPECT_EQ(Json({"status", ConfigFile()})[0]["tiers"][2]["misplaced"], 0);
}

TEST_F(Tierctl, WhereShowsTierClassRuleAndBackingPath) {
  ASSERT_TRUE(Mount()) << Refusal();
  MakeDirs(Mnt("usr"));
  WriteFile(Mnt("usr/a"), "a");
  const json where = Json({"where", Mnt("usr/a")})[0];
  EXPECT_EQ(where["tier"], "4");
  EXPECT_EQ(where["class"], "4");
  EXPECT_EQ(where["backing"], Tier(4, "usr/a"));
  EXPECT_NE(where["rule"].get<std::string>().find("test.tiers:1"), std::string::npos);
  ASSERT_EQ(::symlink("a", Mnt("usr/link").c_str()), 0);
  ASSERT_EQ(::mkfifo(Mnt("usr/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Json({"where", Mnt("usr/link")})[0]["backing"], Tier(4, "usr/link"));
  EXPECT_EQ(Json({"where", Mnt("usr/fifo")})[0]["tier"], "4");
  EXPECT_NE(Shell("setfattr -h -n security.tierfs.tier -v 1 " + Mnt("usr/link")).code, 0);
  const Ran missing = Call({"where", Mnt("none")});
  EXPECT_EQ(missing.code, 3);
  EXPECT_EQ(missing.err, "tierctl: " + Mnt("none") + ": No such file or directory\n");
  EXPECT_EQ(Call({"where", "/etc/passwd"}).err, "tierctl: /etc/passwd: not on a tierfs mount\n");
}

TEST_F(Tierctl, ExplainWorksWithoutAMountAndForAbsentPaths) {
  WriteConfig();
  const json answer = Json({"explain", "--config", ConfigFile(), "etc/ssl/private/x.tmp"})[0];
  EXPECT_EQ(answer["tier"], 3);
  EXPECT_NE(answer["rule"]["rule"].get<std::string>().find("3 *.tmp"), std::string::npos);
  EXPECT_EQ(answer["overrode"].size(), 2U);
  const Ran none = Call({"explain", "--config", ConfigFile(), "srv/x"});
  EXPECT_EQ(none.code, 0);
  EXPECT_NE(none.out.find("tier 2"), std::string::npos);
  const Ran outside = Call({"explain", "/nowhere/at/all"});
  EXPECT_EQ(outside.code, 2);
  EXPECT_NE(outside.err.find("is not on a tierfs mount"), std::string::npos);
  ASSERT_TRUE(Mount()) << Refusal();
  EXPECT_EQ(Json({"explain", Mnt("usr/not/there")})[0]["tier"], 4);
}

TEST_F(Tierctl, InitMakesAndAdoptsTiers) {
  WriteConfig();
  const Ran dry = Call({"init", "-n", ConfigFile()});
  EXPECT_EQ(dry.code, 0);
  EXPECT_NE(dry.out.find("would make " + Tier(1)), std::string::npos);
  EXPECT_FALSE(Exists(Tier(1)));
  EXPECT_EQ(Call({"init", ConfigFile()}).code, 0);
  EXPECT_EQ(Stat(Tier(2)).st_mode & 07777, 0755U);
  EXPECT_EQ(Stat(Base("state")).st_mode & 07777, 0700U);
  EXPECT_EQ(Call({"init", ConfigFile()}).out, "nothing to do: the tiers are there and marked\n");
  MakeDirs(Base("other"));
  WriteFile(Base("other/file"), "");
  UseTier(3, Base("other"));
  WriteConfig();
  EXPECT_EQ(Call({"init", ConfigFile()}).code, 3);
  EXPECT_EQ(Call({"init", "--adopt", ConfigFile()}).code, 0);
}

TEST_F(Tierctl, ASilentClientDoesNotBlockASecondOne) {
  ASSERT_TRUE(Mount()) << Refusal();
  const UniqueFd state(::open(Base("state").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/control.sock", state.get());
  const UniqueFd silent(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(silent.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
  const Ran ran = Call({"status", ConfigFile()});
  EXPECT_EQ(ran.code, 0) << ran.err;
  pollfd still{silent.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&still, 1, 0), 0) << "the daemon dropped the silent client before it answered the second";
}

TEST_F(Tierctl, WrongUsageGivesOneLineAndExitCodeTwo) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"nonsense"}, {"where"}, {"status", "--nope"}, {"reload", "/none.toml"}}) {
    const Ran ran = Call(arguments);
    EXPECT_EQ(ran.code, 2) << arguments[0];
    EXPECT_NE(ran.err, "");
  }
}

}  // namespace
}  // namespace tierfs::test
