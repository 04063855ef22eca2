// Nothing secret gets into the history, by whatever way it comes into tier 1.
#include <fcntl.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fs/os/unique_fd.h"
#include "tests/mount/history.h"
#include "tests/policy/planted_secrets.h"

namespace tierfs::test {
namespace {

using testing::PlantedSecret;

class NothingSecret : public HistoryTest {
 protected:
  NothingSecret() {
    SkipKernelComparison();
    SetPolicy(kBefore);
  }

  static constexpr const char* kBefore = "1 *\n2 /later/\n3 *.tmp\n";
  static constexpr const char* kAfter = "1 *\n3 *.tmp\n";

  // Each secret has a directory of its own, with the path that its rule may go by beneath.
  void Plant(const std::vector<PlantedSecret>& secrets, const std::string& way,
             const std::function<void(const PlantedSecret&, const std::string& path)>& put) {
    int number = 0;
    for (const PlantedSecret& each : secrets) {
      const std::string path = way + "/" + std::to_string(++number) + "/" + each.path;
      put(each, path);
      planted_.push_back({path, each.kind + " by " + way});
      bytes_.push_back(each.secret);
    }
  }
  void PlantName(const std::string& path, const std::string& kind, const std::string& secret) {
    planted_.push_back({path, kind});
    bytes_.push_back(secret);
  }
  static std::string Parent(const std::string& path) { return std::filesystem::path(path).parent_path(); }
  void Put(const std::string& path, const std::string& content) {
    MakeDirs(Parent(Mnt(path)));
    WriteFile(Mnt(path), content);
  }
  // A third of the secrets, another third for each remainder.
  static std::vector<PlantedSecret> Third(std::size_t remainder) {
    std::vector<PlantedSecret> some;
    const auto all = testing::AllPlantedSecrets();
    for (std::size_t i = remainder; i < all.size(); i += 3) some.push_back(all[i]);
    return some;
  }
  void ExpectAllKeptOut() {
    ExpectCalm();
    ExpectNoObjectHolds(bytes_);
    const std::string rules = ReadFile(Base("state/gate.tiers"));
    for (const auto& [path, kind] : planted_) {
      EXPECT_EQ(TreesWith(path), std::set<int>{2}) << kind << ": " << path;
      const Ran explained = Tierctl({"explain", Mnt(path)});
      EXPECT_NE((explained.out + explained.err).find("gate     "), std::string::npos) << kind << ": " << explained.out << explained.err;
    }
    EXPECT_NE(rules.find("# gate: "), std::string::npos);
    for (const std::string& secret : bytes_) {
      if (names_.contains(secret)) continue;
      EXPECT_EQ(rules.find(secret), std::string::npos) << secret;
    }
    ExpectRebuilt();
    ExpectSound();
    ASSERT_EQ(Git({"gc", "-q"}).code, 0);
    ExpectNoObjectHolds(bytes_);
    EXPECT_EQ(Shell("grep -rlF -e " + bytes_.back() + " " + Repo() + " " + Base("state") + "/*.log").out, "");
  }

  std::vector<std::pair<std::string, std::string>> planted_;  // path, what it is
  std::vector<std::string> bytes_;
  std::set<std::string> names_;  // secrets that are names of files
};

TEST_F(NothingSecret, ByAnyWay) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("later"));
  WriteFile(Mnt("fine"), "nothing\n");
  Plant(testing::AllPlantedSecrets(), "created", [&](const PlantedSecret& each, const std::string& path) { Put(path, each.content); });
  Plant(Third(0), "renamed", [&](const PlantedSecret& each, const std::string& path) {
    Put(path + ".tmp", each.content);
    ASSERT_EQ(::rename(Mnt(path + ".tmp").c_str(), Mnt(path).c_str()), 0) << std::strerror(errno);
  });
  Plant(Third(1), "linked", [&](const PlantedSecret& each, const std::string& path) {
    Put(path + ".tmp", each.content);
    ASSERT_EQ(::link(Mnt(path + ".tmp").c_str(), Mnt(path).c_str()), 0) << std::strerror(errno);
    ASSERT_EQ(::unlink(Mnt(path + ".tmp").c_str()), 0);
  });
  Plant(Third(2), "later", [&](const PlantedSecret& each, const std::string& path) { Put(path, each.content); });
  const auto appended = Third(0);
  Plant(appended, "appended", [&](const PlantedSecret&, const std::string& path) { Put(path, "# a comment\n"); });
  ExpectCalm();
  int number = 0;
  for (const PlantedSecret& each : appended) {
    std::ofstream file(Mnt("appended/" + std::to_string(++number) + "/" + each.path), std::ios::app);
    file << each.content;
  }
  SetPolicy(kAfter);
  ASSERT_EQ(Tierctl({"reload", ConfigFile()}).code, 0);
  const Ran settled = Tierctl({"settle", "--wait", ConfigFile()});
  EXPECT_EQ(settled.code, 0) << settled.err;
  ExpectCalm();
  Unmount();
  Plant(Third(1), "beneath", [&](const PlantedSecret& each, const std::string& path) {
    MakeDirs(Parent(Tier(1, path)));
    WriteFile(Tier(1, path), each.content);
  });
  ASSERT_TRUE(Mount()) << Refusal();
  Plant(Third(2), "before-a-kill", [&](const PlantedSecret& each, const std::string& path) { Put(path, each.content); });
  KillDaemon();
  ASSERT_TRUE(Mount()) << Refusal();
  ExpectAllKeptOut();
  EXPECT_EQ(Git({"show", "main:fine"}).out, "nothing\n");
}

TEST_F(NothingSecret, BesideTheContent) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("names"));
  int number = 0;
  for (const PlantedSecret& each : testing::PlantedTokens()) {
    const std::string digit = std::to_string(++number);
    if (each.secret.find('/') == std::string::npos && each.secret.size() < 255) {
      WriteFile(Mnt("names/" + each.secret), "x\n");
      PlantName("names/" + each.secret, each.kind + " as a name", each.secret);
      names_.insert(each.secret);
    }
    MakeDirs(Mnt("links"));
    ASSERT_EQ(::symlink(each.secret.c_str(), Mnt("links/" + digit).c_str()), 0);
    PlantName("links/" + digit, each.kind + " as a target", each.secret);
    Put("attributes/" + digit, "x\n");
    ASSERT_EQ(::setxattr(Mnt("attributes/" + digit).c_str(), "user.token", each.secret.data(), each.secret.size(), 0), 0);
    PlantName("attributes/" + digit, each.kind + " as an attribute", each.secret);
  }
  ExpectAllKeptOut();
}

}  // namespace
}  // namespace tierfs::test
