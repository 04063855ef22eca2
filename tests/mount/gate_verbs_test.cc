// tierctl gate on a real mount, and the gate of the daemon end to end: a credential in tier 1 is
// moved to tier 2 with its reason, and no object of the repository holds it.
#include <sys/xattr.h>

#include <nlohmann/json.hpp>

#include <chrono>
#include <thread>

#include "tests/mount/fixture.h"
#include "tests/policy/planted_secrets.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

// In pieces, so that no scanner finds one in this file.
const std::string kSecret = "MIIEow" + std::string(58, 'Q');
const std::string kKey = std::string("-----BEGIN RSA PRIVATE") + " KEY-----\n" + kSecret + "\n-----END RSA PRIVATE" + " KEY-----\n";

class GateVerbs : public MountTest {
 protected:
  GateVerbs() { SetPolicy("1 /etc/\n3 *.tmp\n"); }

  bool Begin(const std::string& gate = "") {
    AddToConfig("[version]\nrepo = \"" + Repo() + "\"\nsettle = \"300ms\"\nat_most = \"2s\"\n" + gate);
    Execute({"git", "init", "-q", "--bare", "-b", "main", Repo()});
    if (!Mount()) return false;
    MakeDirs(Mnt("etc"));
    return true;
  }
  [[nodiscard]] std::string Repo() const { return Base("tier1.git"); }
  [[nodiscard]] std::string Rules() const { return Base("state/gate.tiers"); }
  static Ran Tierctl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  [[nodiscard]] Ran GateVerb(const std::string& verb, std::vector<std::string> arguments = {}) const {
    std::vector<std::string> all = {"gate", verb, ConfigFile()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return Tierctl(all);
  }
  [[nodiscard]] json GateJson(const std::string& verb, std::vector<std::string> arguments = {}) const {
    arguments.emplace_back("--json");
    const Ran ran = GateVerb(verb, std::move(arguments));
    EXPECT_TRUE(json::accept(ran.out)) << ran.out << ran.err;
    return json::parse(ran.out, nullptr, false);
  }
  // Waits until the file is in this tier alone.
  [[nodiscard]] bool AwaitTier(const std::string& path, int tier) const {
    for (int i = 0; i < 200 && TreesWith(path) != std::set<int>{tier}; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return TreesWith(path) == std::set<int>{tier};
  }
  [[nodiscard]] bool AwaitCommitted(const std::string& path, const std::string& content) const {
    const std::vector<std::string> show = {"git", "--git-dir=" + Repo(), "show", "main:" + path};
    for (int i = 0; i < 200 && Execute(show).out != content; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return Execute(show).out == content;
  }
  // Every object of the repository, decompressed.
  [[nodiscard]] std::string AllObjects() const {
    return Execute({"git", "--git-dir=" + Repo(), "cat-file", "--batch-all-objects", "--batch"}).out;
  }
};

TEST_F(GateVerbs, ACredentialIsMovedToTier2WithItsReason) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/plain"), "plain\n");
  WriteFile(Mnt("etc/key"), "# a key\n" + kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2)) << GateVerb("list").out;
  ASSERT_TRUE(AwaitCommitted("etc/plain", "plain\n"));
  EXPECT_EQ(ReadFile(Mnt("etc/key")), "# a key\n" + kKey);
  EXPECT_EQ(AllObjects().find(kSecret), std::string::npos);
  EXPECT_NE(ReadFile(Rules()).find("# gate: private-key, line 2 ("), std::string::npos) << ReadFile(Rules());

  const Ran list = GateVerb("list");
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_EQ(list.out.find("etc/key: private-key, line 2 ("), 0U) << list.out;
  EXPECT_NE(list.out.find("); in tier 2\n"), std::string::npos) << list.out;
  EXPECT_NE(list.out.find("tierctl gate allow test etc/key\n"), std::string::npos) << list.out;
  const json paths = GateJson("list")["paths"];
  ASSERT_EQ(paths.size(), 1U);
  EXPECT_EQ(paths[0]["path"], "etc/key");
  EXPECT_EQ(paths[0]["tier"], 2);

  EXPECT_EQ(Xattr(Mnt("etc/key"), "user.tierfs.rule").find(Rules() + ":2: 2 /etc/key"), 0U);
  for (const char* verb : {"explain", "where"}) {
    const Ran ran = Tierctl({verb, Mnt("etc/key")});
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_NE(ran.out.find("  gate     private-key, line 2 ("), std::string::npos) << ran.out;
    EXPECT_NE(ran.out.find("tierctl gate allow|release test etc/key\n"), std::string::npos) << ran.out;
    EXPECT_EQ(Tierctl({verb, Mnt("etc/plain")}).out.find("gate"), std::string::npos);
  }
  EXPECT_EQ(Tierctl({"config", "check", ConfigFile()}).code, 0);
  // It stays where it is over a remount.
  Remount();
  EXPECT_EQ(TierOf("etc/key"), 2);
  EXPECT_EQ(AllObjects().find(kSecret), std::string::npos);
}

TEST_F(GateVerbs, WhatIsReleasedUnchangedComesBackAndWhatIsChangedStays) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/key"), kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2));
  const Ran dry = GateVerb("release", {"-n", "etc/key"});
  EXPECT_EQ(dry.out, "would release etc/key\n") << dry.err;
  const Ran released = GateVerb("release", {"etc/key"});
  EXPECT_EQ(released.code, 0) << released.err;
  EXPECT_NE(released.out.find("released etc/key: it belongs to tier 1 now\n"), std::string::npos) << released.out;
  for (int i = 0; i < 200 && ReadFile(Rules()).find("/etc/key") == std::string::npos; ++i) ::usleep(50000);
  ASSERT_TRUE(AwaitTier("etc/key", 2)) << ReadFile(Rules());
  WriteFile(Mnt("etc/key"), "the key is elsewhere now\n");
  EXPECT_EQ(GateVerb("release", {Mnt("etc/key")}).code, 0);
  ASSERT_TRUE(AwaitTier("etc/key", 1));
  ASSERT_TRUE(AwaitCommitted("etc/key", "the key is elsewhere now\n"));
  EXPECT_EQ(AllObjects().find(kSecret), std::string::npos);
  const Ran none = GateVerb("release", {"etc/key"});
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("the gate has no rule for etc/key"), std::string::npos) << none.err;
}

TEST_F(GateVerbs, AnAllowedContentGoesBackAndAnotherSecretInItIsFoundAgain) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/key"), kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2));
  const Ran allowed = GateVerb("allow", {"etc/key"});
  EXPECT_EQ(allowed.code, 0) << allowed.out << allowed.err;
  EXPECT_EQ(ReadFile(Base("test.allow")).find("content "), 0U);
  ASSERT_TRUE(AwaitTier("etc/key", 1)) << ReadFile(Rules());
  ASSERT_TRUE(AwaitCommitted("etc/key", kKey));
  WriteFile(Mnt("etc/key"), "new\n" + kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2));
  EXPECT_EQ(GateVerb("allow", {"--path", "etc/key"}).code, 0);
  EXPECT_NE(ReadFile(Base("test.allow")).find("\npath /etc/key\n"), std::string::npos);
  ASSERT_TRUE(AwaitTier("etc/key", 1));
  ASSERT_TRUE(AwaitCommitted("etc/key", "new\n" + kKey));
}

TEST_F(GateVerbs, ALargeFileThatIsAllowedIsCommittedWhole) {
  ASSERT_TRUE(Begin("[gate]\nmax_file = \"10K\"\n")) << Refusal();
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "line " + std::to_string(i) + "\n";
  WriteFile(Mnt("etc/list"), lines);
  ASSERT_TRUE(AwaitTier("etc/list", 2));
  EXPECT_EQ(GateVerb("allow", {"--path", "etc/list"}).code, 0);
  ASSERT_TRUE(AwaitTier("etc/list", 1));
  EXPECT_TRUE(AwaitCommitted("etc/list", lines));
  WriteFile(Mnt("etc/list"), lines + "more\n");
  EXPECT_TRUE(AwaitCommitted("etc/list", lines + "more\n"));
}

// JSON cannot carry the name to the daemon.
TEST_F(GateVerbs, ANameThatIsNotUtf8ComesBackToo) {
  ASSERT_TRUE(Begin()) << Refusal();
  const std::string name = "etc/\xffodd";
  WriteFile(Mnt(name), kKey);
  ASSERT_TRUE(AwaitTier(name, 2));
  EXPECT_EQ(GateVerb("allow", {name}).code, 0);
  EXPECT_TRUE(AwaitTier(name, 1)) << ReadFile(Rules());
}

// A program with random names for files with a key must not fill gate.tiers for ever.
TEST_F(GateVerbs, RulesOfPathsThatAreGoneAreForgotten) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/key"), kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2));
  Unmount();
  std::string rules = ReadFile(Rules());
  for (int i = 0; i < 1100; ++i) rules += "# gate: private-key, line 1 (2026-01-01 00:00)\n2 /etc/gone" + std::to_string(i) + "\n";
  WriteFile(Rules(), rules);
  ASSERT_TRUE(Mount()) << Refusal();
  WriteFile(Mnt("etc/other"), kKey);
  ASSERT_TRUE(AwaitTier("etc/other", 2));
  EXPECT_EQ(TreesWith("etc/key"), std::set<int>{2});
  const std::string left = ReadFile(Rules());
  EXPECT_EQ(std::count(left.begin(), left.end(), '\n'), 4) << left;
}

TEST_F(GateVerbs, AllowByRuleAndWhatIsNotEnough) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/x"), "fine\n");
  ASSERT_EQ(::setxattr(Mnt("etc/x").c_str(), "user.key", kKey.data(), kKey.size(), 0), 0);
  ASSERT_TRUE(AwaitTier("etc/x", 2));
  EXPECT_NE(ReadFile(Rules()).find("private-key, attribute user.key ("), std::string::npos) << ReadFile(Rules());
  const Ran content = GateVerb("allow", {"etc/x"});  // the content is not the matter
  EXPECT_EQ(content.code, 1);
  EXPECT_NE(content.err.find("it is still kept back: private-key, attribute user.key"), std::string::npos) << content.err;
  EXPECT_EQ(TreesWith("etc/x"), std::set<int>{2});
  EXPECT_EQ(GateVerb("allow", {"--rule", "private-key", "etc/x"}).code, 0);
  ASSERT_TRUE(AwaitTier("etc/x", 1));
  EXPECT_EQ(GateVerb("allow", {"--rule", "private-key", "--path", "etc/x"}).code, 2);
  EXPECT_EQ(GateVerb("allow", {"etc/none"}).code, 3);
}

TEST_F(GateVerbs, AllowRefusesWhatItCannotMean) {
  ASSERT_TRUE(Begin()) << Refusal();
  MakeDirs(Mnt("etc/d/sub"));
  WriteFile(Mnt("etc/d/key"), kKey);
  WriteFile(Mnt("etc/d/sub/key"), "# another\n" + kKey);
  ASSERT_TRUE(AwaitTier("etc/d/key", 2) && AwaitTier("etc/d/sub/key", 2));
  const Ran directory = GateVerb("allow", {"etc/d"});
  EXPECT_EQ(directory.code, 3);
  EXPECT_NE(directory.err.find("etc/d is a directory; --path allows it whatever it holds"), std::string::npos) << directory.err;
  EXPECT_FALSE(Exists(Base("test.allow")));
  EXPECT_EQ(TreesWith("etc/d/key"), std::set<int>{2});
  for (const char* path : {"..", "../../x", "etc/../../x"}) {
    for (const std::vector<std::string>& how : {std::vector<std::string>{"-n", "--path"}, {}, {"--rule", "private-key"}}) {
      std::vector<std::string> all = how;
      all.emplace_back(path);
      const Ran outside = GateVerb("allow", all);
      EXPECT_EQ(outside.code, 2) << path;
      EXPECT_NE(outside.err.find("is not in the mount"), std::string::npos) << outside.err;
    }
    EXPECT_EQ(GateVerb("release", {path}).code, 2);
    EXPECT_EQ(GateVerb("scan", {path}).code, 2);
  }
  const Ran rule = GateVerb("allow", {"--rule", "nosuchrule", "etc/d/key"});
  EXPECT_EQ(rule.code, 2);
  EXPECT_NE(rule.err.find("there is no rule nosuchrule"), std::string::npos) << rule.err;
  EXPECT_FALSE(Exists(Base("test.allow")));
  const Ran moved = GateVerb("scan", {"etc/d/key"});
  EXPECT_EQ(moved.code, 3);
  EXPECT_NE(moved.err.find("etc/d/key is in tier 2, so it is not committed"), std::string::npos) << moved.err;
  EXPECT_NE(GateVerb("scan", {"etc/none"}).err.find("no tier holds etc/none"), std::string::npos);
  // A path lets what is beneath it pass, but the rules there are those who made them to remove.
  const Ran all = GateVerb("allow", {"--path", "etc/d", "-n"});
  EXPECT_EQ(all.code, 0) << all.err;
  EXPECT_EQ(all.out.find("would release"), std::string::npos) << all.out;
  EXPECT_NE(all.out.find("tierctl gate release test etc/d\n"), std::string::npos) << all.out;
}

TEST_F(GateVerbs, AFileWithErrorsIsWrongUsageForEachVerb) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/x"), "fine\n");
  Unmount();
  const auto codes = [this] {
    std::vector<int> all = {GateVerb("allow", {"etc/x"}).code, GateVerb("allow", {"--path", "etc/x"}).code};
    all.push_back(GateVerb("allow", {"-n", "--rule", "private-key", "etc/x"}).code);
    return all;
  };
  WriteFile(Base("test.allow"), "nonsense\n");
  EXPECT_EQ(codes(), (std::vector<int>{2, 2, 2}));
  EXPECT_EQ(GateVerb("scan").code, 2);
  WriteFile(Base("test.allow"), "");
  WriteFile(Rules(), "9 nonsense\n");
  EXPECT_EQ(codes(), (std::vector<int>{2, 2, 2}));
  EXPECT_EQ(GateVerb("list").code, 2);
  EXPECT_EQ(GateVerb("release", {"etc/x"}).code, 2);
}

TEST_F(GateVerbs, CommandsArePrintedForAShell) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/it's a $(key)"), kKey);
  ASSERT_TRUE(AwaitTier("etc/it's a $(key)", 2));
  const Ran list = GateVerb("list");
  EXPECT_NE(list.out.find("tierctl gate allow test 'etc/it'\\''s a $(key)'\n"), std::string::npos) << list.out;
}

TEST_F(GateVerbs, NothingPlantedReachesTheRepository) {
  ASSERT_TRUE(Begin()) << Refusal();
  const auto planted = tierfs::testing::AllPlantedSecrets();
  for (const auto& secret : planted) {
    const std::string path = "etc/planted/" + secret.path;
    MakeDirs(Mnt(path.substr(0, path.rfind('/'))));
    WriteFile(Mnt(path), secret.content);
  }
  ASSERT_EQ(::symlink(kKey.substr(0, 40).c_str(), Mnt("etc/link").c_str()), 0);
  WriteFile(Mnt("etc/last"), "last\n");
  for (const auto& secret : planted) EXPECT_TRUE(AwaitTier("etc/planted/" + secret.path, 2)) << secret.kind;
  EXPECT_TRUE(AwaitTier("etc/link", 2));
  ASSERT_TRUE(AwaitCommitted("etc/last", "last\n"));
  const std::string objects = AllObjects();
  const std::string list = GateVerb("list").out + GateVerb("list", {"--json"}).out + ReadFile(Rules());
  for (const auto& secret : planted) {
    EXPECT_EQ(objects.find(secret.secret), std::string::npos) << secret.kind;
    EXPECT_EQ(list.find(secret.secret), std::string::npos) << secret.kind;
  }
}

TEST_F(GateVerbs, ScanFindsWhatIsThereAndWhatTheHistoryHolds) {
  ASSERT_TRUE(Begin("[gate]\non_finding = \"off\"\n")) << Refusal();
  WriteFile(Mnt("etc/key"), "\n" + kKey);
  WriteFile(Mnt("etc/binary"), std::string("a\0b", 3));
  MakeDirs(Mnt("etc/sub"));
  WriteFile(Mnt("etc/sub/fine"), "fine\n");
  ASSERT_TRUE(AwaitCommitted("etc/key", "\n" + kKey));
  const Ran scan = GateVerb("scan");
  EXPECT_EQ(scan.code, 1) << scan.err;
  EXPECT_NE(scan.out.find("etc/key:2: private-key: "), std::string::npos) << scan.out;
  EXPECT_NE(scan.out.find("etc/binary: binary\n"), std::string::npos) << scan.out;
  EXPECT_NE(scan.out.find("the gate is off"), std::string::npos) << scan.out;
  EXPECT_EQ(scan.out.find(kSecret), std::string::npos);
  EXPECT_EQ(GateVerb("scan", {"etc/sub"}).code, 0);
  EXPECT_EQ(GateJson("scan", {"etc/key"})["found"].size(), 1U);
  EXPECT_EQ(GateVerb("scan", {"etc/none"}).code, 3);
  // In the history it stays.
  ASSERT_EQ(::unlink(Mnt("etc/key").c_str()), 0);
  ASSERT_EQ(::unlink(Mnt("etc/binary").c_str()), 0);
  ASSERT_TRUE(AwaitCommitted("etc/key", ""));
  EXPECT_EQ(GateVerb("scan").code, 0);
  const Ran history = GateVerb("scan", {"--history"});
  EXPECT_EQ(history.code, 1) << history.err;
  EXPECT_NE(history.out.find("etc/key in "), std::string::npos) << history.out;
  EXPECT_NE(history.out.find(":2: private-key: "), std::string::npos) << history.out;
  EXPECT_NE(history.out.find("stays there"), std::string::npos) << history.out;
}

TEST_F(GateVerbs, ABrokenGateFileKeepsTheMountDownAndSaysWhatToDo) {
  ASSERT_TRUE(Begin()) << Refusal();
  Unmount();
  WriteFile(Rules(), "# gate: x\n2 /etc/[a\n");
  EXPECT_FALSE(Mount());
  EXPECT_NE(Refusal().find(Rules() + ":2:"), std::string::npos) << Refusal();
  EXPECT_NE(Refusal().find("correct the line, or remove it"), std::string::npos) << Refusal();
  EXPECT_EQ(GateVerb("list").code, 2);
  WriteFile(Base("test.allow"), "nonsense\n");
  const Ran check = Tierctl({"config", "check", ConfigFile()});
  EXPECT_EQ(check.code, 2);
  EXPECT_NE(check.err.find(Rules() + ":2:"), std::string::npos) << check.err;
  EXPECT_NE(check.err.find(Base("test.allow") + ":1: "), std::string::npos) << check.err;
}

TEST_F(GateVerbs, ReleaseWithoutAMountIsForTheNextOne) {
  ASSERT_TRUE(Begin()) << Refusal();
  WriteFile(Mnt("etc/key"), kKey);
  ASSERT_TRUE(AwaitTier("etc/key", 2));
  Unmount();
  const Ran released = GateVerb("release", {"etc/key"});
  EXPECT_EQ(released.code, 0) << released.err;
  EXPECT_NE(released.out.find("nothing is mounted: the next mount goes by it"), std::string::npos) << released.out;
  EXPECT_EQ(ReadFile(Rules()), "");
}

TEST_F(GateVerbs, TestLooksAtFilesAnywhere) {
  WriteFile(Base("fine"), "fine\n");
  WriteFile(Base("key"), "\n" + kKey);
  WriteFile(Base("more.toml"), "[[rules]]\nid = \"mine\"\ndescription = \"My token\"\nregex = '''MINE-[0-9]{8}'''\n");
  WriteFile(Base("mine"), "MINE-12345678\n");
  EXPECT_EQ(Tierctl({"gate", "test", Base("fine"), Base("mine")}).code, 0);
  const Ran found = Tierctl({"gate", "test", Base("fine"), Base("key"), Base("mine"), "--rules", Base("more.toml")});
  EXPECT_EQ(found.code, 1) << found.err;
  EXPECT_EQ(found.out.find(Base("key") + ":2: private-key: "), 0U) << found.out;
  EXPECT_NE(found.out.find(Base("mine") + ":1: mine: My token\n"), std::string::npos) << found.out;
  EXPECT_EQ(found.out.find(kSecret), std::string::npos);
  EXPECT_EQ(Tierctl({"gate", "test", Base("none")}).code, 3);
  EXPECT_EQ(Tierctl({"gate", "test", Base("fine"), "--rules", Base("none")}).code, 2);
  EXPECT_EQ(Tierctl({"gate", "test"}).code, 2);
}

}  // namespace
}  // namespace tierfs::test
