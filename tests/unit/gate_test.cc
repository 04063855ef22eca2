// The gate of tier 1: its file of rules, what is allowed, and its verdict.
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>

#include <algorithm>
#include <random>
#include <thread>

#include "fs/jobs/gate/allow_file.h"
#include "fs/jobs/gate/gate_file.h"
#include "fs/jobs/gate/judge.h"
#include "fs/jobs/gate/path_pattern.h"
#include "policy/parse.h"
#include "tests/unit/support.h"

namespace tierfs::test {
namespace {

// In pieces, so that no scanner finds one in this file.
const std::string kKey = std::string("-----BEGIN RSA PRIVATE") + " KEY-----\nMIIEow" + std::string(64, 'Q') + "\n";

class Gate : public ::testing::Test {
 protected:
  Gate() {
    config_.file = dir_ / "m.toml";
    config_.state = dir_ / "state";
    config_.policy_file = dir_ / "m.tiers";
    config_.gate.allow = dir_ / "m.allow";
    MakeDirs(config_.state);
    WriteFile(config_.policy_file, "1 *\n");
  }
  void Add(const std::vector<gate::Entry>& entries) const {
    const auto added = gate::GateFile(config_).Add(entries);
    ASSERT_TRUE(added) << added.error();
  }
  [[nodiscard]] std::vector<gate::Entry> Read() const {
    const auto read = gate::GateFile(config_).Read();
    EXPECT_TRUE(read) << read.error();
    return read.value_or(std::vector<gate::Entry>());
  }
  [[nodiscard]] std::string Text() const { return ReadFile(config_.GateRules()); }
  [[nodiscard]] gate::Verdict Judged(const std::string& path, const std::string& content,
                                     const std::map<std::string, std::string>& xattrs = {}, bool oversize = false) const {
    const auto judge = gate::Judge::Open(config_);
    EXPECT_TRUE(judge) << judge.error();
    return judge ? judge->Of({path, content, xattrs, oversize}) : gate::Verdict();
  }
  void Allow(const std::string& text) const { WriteFile(config_.gate.allow, text); }

  TempDir dir_;
  Config config_;
};

TEST_F(Gate, ARuleIsAddedOnceAndStaysUntilItIsRemoved) {
  EXPECT_TRUE(Read().empty());
  Add({{"etc/exim4/passwd.client", "private-key, line 3"}, {"etc/x y ", "binary"}});
  Add({{"etc/exim4/passwd.client", "another reason"}});
  const auto entries = Read();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].path, "etc/exim4/passwd.client");
  EXPECT_EQ(entries[0].reason.find("private-key, line 3 (20"), 0U) << entries[0].reason;
  EXPECT_EQ(entries[1].path, "etc/x y ");
  EXPECT_EQ(Stat(config_.GateRules()).st_mode & 07777, 0600U);
  EXPECT_FALSE(Exists(config_.GateRules() + ".new"));
  const auto removed = gate::GateFile(config_).Remove("etc/exim4/passwd.client");
  ASSERT_TRUE(removed) << removed.error();
  EXPECT_EQ(*removed, std::vector<std::string>{"etc/exim4/passwd.client"});
  EXPECT_EQ(Read().size(), 1U);
  EXPECT_EQ(Text().find("exim4"), std::string::npos);
}

TEST_F(Gate, RemovesEverythingBeneathADirectory) {
  Add({{"a/b", "x"}, {"a/c/d", "x"}, {"ab", "x"}, {"e", "x"}});
  EXPECT_EQ(gate::GateFile(config_).Remove("a").value(), (std::vector<std::string>{"a/b", "a/c/d"}));
  Add({{"e/f", "x"}});
  EXPECT_EQ(gate::GateFile(config_).Remove("e", false).value(), std::vector<std::string>{"e"});
  EXPECT_EQ(gate::GateFile(config_).Remove("e", false).value(), std::vector<std::string>());
  EXPECT_EQ(gate::GateFile(config_).Remove("e").value(), std::vector<std::string>{"e/f"});
  EXPECT_EQ(gate::GateFile(config_).Remove("none").value(), std::vector<std::string>());
  EXPECT_EQ(gate::GateFile(config_).Remove("").value(), std::vector<std::string>{"ab"});
  EXPECT_EQ(Text(), "");
}

TEST_F(Gate, KeepsWhatAPersonWroteIntoTheFile) {
  WriteFile(config_.GateRules(), "# mine\n2 /etc/*.key\n\n4 /bulk\n# gate: loose comment\n# last line without an end");
  Add({{"a", "x"}});
  ASSERT_TRUE(gate::GateFile(config_).Remove("a"));
  EXPECT_EQ(Text(), "# mine\n2 /etc/*.key\n\n4 /bulk\n# gate: loose comment\n# last line without an end\n");
}

TEST_F(Gate, AReasonIsOneLine) {
  Add({{"a", "x\n1 /etc\n"}});
  EXPECT_EQ(Read().size(), 1U);
  EXPECT_EQ(LoadPolicy(config_).policy->rules().size(), 2U);
}

TEST_F(Gate, FiveHundredAtOnceAreOneWrite) {
  std::vector<gate::Entry> entries;
  for (int i = 0; i < 500; ++i) entries.push_back({"etc/file" + std::to_string(i), "password-assignment, line 1"});
  Add(entries);
  EXPECT_EQ(Read().size(), 500U);
  const struct stat before = Stat(config_.GateRules());
  Add(entries);
  EXPECT_EQ(Stat(config_.GateRules()).st_ino, before.st_ino);  // nothing to do, nothing written
}

TEST_F(Gate, ProcessesThatAddAtOnceLoseNothing) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 25; ++i) (void)gate::GateFile(config_).Add({{std::to_string(t) + "/" + std::to_string(i), "x"}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Read().size(), 100U);
}

TEST_F(Gate, MoreRulesThanAPolicyMayHaveAreRefusedAndNothingIsLost) {
  std::vector<gate::Entry> entries;
  for (std::size_t i = 0; i < policy::kMaxRules; ++i) entries.push_back({"f" + std::to_string(i), "x"});
  Add(entries);
  const auto added = gate::GateFile(config_).Add({{"one/more", "x"}});
  ASSERT_FALSE(added);
  EXPECT_NE(added.error().find(config_.GateRules()), std::string::npos);
  EXPECT_EQ(Read().size(), policy::kMaxRules);
}

TEST_F(Gate, ADirectoryThatCannotBeWrittenIsNamed) {
  config_.state = dir_ / "none";
  const auto added = gate::GateFile(config_).Add({{"a", "x"}});
  ASSERT_FALSE(added);
  EXPECT_NE(added.error().find(dir_ / "none"), std::string::npos);
}

TEST_F(Gate, ABrokenFileIsNamedWithItsLineAndStillTakesRules) {
  WriteFile(config_.GateRules(), "# a\n9 /etc\n");
  const auto read = gate::GateFile(config_).Read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().find(config_.GateRules() + ":2:"), 0U) << read.error();
  Add({{"a", "x"}});
  EXPECT_NE(Text().find("\n2 /a\n"), std::string::npos);
}

// The bytes that the language of policies gives a meaning to come up often.
std::string RandomName(std::mt19937& random, bool newlines) {
  static constexpr std::string_view kHard = "*?[]\\#! \t\r\n^-:.{}\"'\x7f\xff\xef\xbb\xbf";
  const std::size_t longest = random() % 4 == 0 ? 255 : 8;
  std::string name;
  const std::size_t length = 1 + random() % longest;
  while (name.size() < length) {
    char c = random() % 2 == 0 ? kHard[random() % kHard.size()] : static_cast<char>(random() % 256);
    if (c != '/' && c != '\0' && (newlines || (c != '\n' && c != '\r'))) name += c;
  }
  return name == "." || name == ".." ? name + "x" : name;
}

// Whether the pattern had to be wider than the path.
bool IsExact(const std::string& path) { return gate::PathOf(gate::PatternOf(path)) == path; }

TEST_F(Gate, ThePolicyPutsExactlyThatPathIntoTier2) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::size_t exact = 0;
  for (int round = 0; round < 200; ++round) {
    const bool newlines = round % 4 == 0;
    std::string path = RandomName(random, newlines);
    const std::size_t target = random() % 8 == 0 ? PATH_MAX - 1 : random() % 600;
    while (path.size() < target) {
      const std::string name = RandomName(random, newlines);
      if (path.size() + name.size() + 1 >= PATH_MAX) break;
      path += "/" + name;
    }
    config_.state = dir_ / ("s" + std::to_string(round));
    MakeDirs(config_.state);
    Add({{path, "x"}});
    const auto loaded = LoadPolicy(config_);
    ASSERT_TRUE(loaded.policy) << FirstErrorOf(loaded);
    const auto tier = [&](const std::string& of) { return NumberOf(loaded.policy->DecisionFor(of, false).tier); };
    ASSERT_EQ(tier(path), 2) << Text();
    ASSERT_EQ(tier(path + "/beneath"), 2) << Text();
    const auto entries = Read();
    ASSERT_EQ(entries.size(), 1U);
    ASSERT_EQ(entries[0].path, path);
    if (IsExact(path)) {
      ++exact;
      for (const std::string& other :
           {path + "x", path + " ", "x" + path, "x/" + path, path.substr(0, path.size() - 1), RandomName(random, newlines)}) {
        if (other == path || other.empty() || other.back() == '/') continue;
        ASSERT_EQ(tier(other), 1) << Text();
      }
      for (int n = 0; n < 20; ++n) {
        std::string other = path;
        char& c = other[random() % other.size()];
        if (c != '/') c = static_cast<char>(c == 'a' ? 'b' : 'a');
        if (other == path) continue;
        ASSERT_EQ(tier(other), 1) << Text();
      }
    }
    // The same path is found again.
    ASSERT_EQ(gate::GateFile(config_).Remove(path).value(), std::vector<std::string>{path});
    ASSERT_EQ(Text(), "");
  }
  EXPECT_GT(exact, 100U);
}

TEST_F(Gate, APathThatNoRuleCanHoldTakesItsDirectoryWithIt) {
  std::string path = "top";
  while (path.size() < 6000) path += "/" + std::string(250, 'd');
  Add({{path, "x"}});
  const auto loaded = LoadPolicy(config_);
  ASSERT_TRUE(loaded.policy) << FirstErrorOf(loaded);
  EXPECT_EQ(loaded.policy->DecisionFor(path, false).tier, TierId::kData);
  EXPECT_EQ(loaded.policy->DecisionFor("top/other", false).tier, TierId::kBuild);
  EXPECT_EQ(Read().at(0).path, path);
  // What is allowed is not widened.
  EXPECT_FALSE(gate::AllowPath(path));
  EXPECT_FALSE(gate::AllowRule("private-key", path));
  EXPECT_TRUE(gate::AllowPath(path.substr(0, 4000)));
}

TEST_F(Gate, FindsCredentialsEverywhereAndNamesThemWithoutThem) {
  EXPECT_TRUE(Judged("etc/hosts", "127.0.0.1 localhost\n").Passes());
  EXPECT_EQ(Judged("etc/hosts", "127.0.0.1 localhost\n").Reason(), "");
  EXPECT_EQ(Judged("etc/key", "\n\n" + kKey).Reason(), "private-key, line 3");
  EXPECT_EQ(Judged("etc/x", "fine", {{"user.key", kKey}}).Reason(), "private-key, attribute user.key");
  EXPECT_EQ(Judged("etc/x", "fine", {{kKey.substr(0, 40), "v"}}).Reason(), "private-key, an attribute's name");
  EXPECT_EQ(Judged("etc/" + kKey.substr(0, 40), "fine").Reason(), "private-key, the path itself");
  EXPECT_EQ(Judged("link", kKey.substr(0, 40)).Reason(), "private-key, line 1");
  EXPECT_EQ(Judged("etc/key", kKey + kKey + kKey + kKey + kKey).Reason(),
            "private-key, line 1; private-key, line 3; private-key, line 5; 2 more");
}

TEST_F(Gate, BinaryAndOversizeFilesDoNotPass) {
  EXPECT_EQ(Judged("x", std::string("a\0b", 3)).Reason(), "binary");
  EXPECT_EQ(Judged("x", "", {}, true).Reason(), "larger than 1.0 MiB");
}

TEST_F(Gate, WhatIsAllowedPasses) {
  Allow("# comment\n\npath /etc/known.key\npath *.img\nrule private-key /doc/\n");
  EXPECT_TRUE(Judged("etc/known.key", kKey).Passes());
  EXPECT_TRUE(Judged("a/b.img", std::string("a\0b", 3)).Passes());
  EXPECT_TRUE(Judged("a/b.img", "", {}, true).Passes());
  EXPECT_TRUE(Judged("doc/example", kKey).Passes());
  EXPECT_FALSE(Judged("etc/other.key", kKey).Passes());
  EXPECT_FALSE(Judged("doc/example", std::string("a\0b", 3)).Passes());
  Allow(gate::AllowContent(kKey, "odd\nname") + "\n");
  EXPECT_TRUE(Judged("anywhere", kKey).Passes());
  EXPECT_FALSE(Judged("anywhere", kKey + "\n").Passes());
  EXPECT_FALSE(Judged("anywhere", kKey, {{"user.key", kKey}}).Passes());
  Allow("rule private-key\n");
  EXPECT_TRUE(Judged("anywhere", kKey, {{"user.key", kKey}}).Passes());
  Allow(gate::AllowPath("odd [name]*").value() + "\n");
  EXPECT_TRUE(Judged("odd [name]*", kKey).Passes());
  EXPECT_FALSE(Judged("odd nx", kKey).Passes());
}

TEST_F(Gate, ManyAllowedFindingsHideNoOther) {
  std::string content;
  for (int i = 0; i < 150; ++i) content += "password=kelp7Drift\n";
  Allow("rule password-assignment\n");
  EXPECT_EQ(Judged("etc/x", content).Reason(), "");
  EXPECT_EQ(Judged("etc/x", content + kKey).Reason(), "private-key, line 151");
  EXPECT_EQ(Judged("etc/x", "", {{"user.x", content + kKey}}).Reason(), "private-key, attribute user.x");
}

TEST_F(Gate, AnErrorInTheAllowFileIsNamedWithItsLine) {
  for (const char* line : {"path", "path /a[b", "path !x", "rule", "content 12", "content zz", "allow /x"}) {
    Allow(std::string("# a\n") + line + "\n");
    const auto judge = gate::Judge::Open(config_);
    ASSERT_FALSE(judge) << line;
    EXPECT_EQ(judge.error().find(config_.gate.allow + ":2:"), 0U) << judge.error();
  }
  Allow("path /a[b\n");
  EXPECT_EQ(gate::Judge::Open(config_).error().find(config_.gate.allow + ":1:8: "), 0U) << gate::Judge::Open(config_).error();
}

TEST_F(Gate, AddsToTheAllowFileOnceAndKeepsItsOwnerAndMode) {
  Allow("# mine");
  ASSERT_EQ(::chmod(config_.gate.allow.c_str(), 0644), 0);
  ASSERT_EQ(::chown(config_.gate.allow.c_str(), 12, 34), 0);
  const std::string line = gate::AllowPath("etc/x").value();
  ASSERT_TRUE(gate::AddToAllowFile(config_, line));
  ASSERT_TRUE(gate::AddToAllowFile(config_, line));
  EXPECT_EQ(ReadFile(config_.gate.allow), "# mine\npath /etc/x\n");
  const struct stat st = Stat(config_.gate.allow);
  EXPECT_EQ(st.st_mode & 07777, 0644U);
  EXPECT_EQ(st.st_uid, 12U);
  EXPECT_EQ(st.st_gid, 34U);
}

TEST_F(Gate, SeesThatItsFilesHaveChanged) {
  const auto judge = gate::Judge::Open(config_);
  ASSERT_TRUE(judge) << judge.error();
  EXPECT_FALSE(judge->Outdated());
  Allow("path x\n");
  EXPECT_TRUE(judge->Outdated());
}

TEST_F(Gate, ItsRulesAreReadFromFilesAndTheirErrorsNamed) {
  config_.gate.rules = {dir_ / "more.toml"};
  EXPECT_NE(gate::Judge::Open(config_).error().find(dir_ / "more.toml"), std::string::npos);
  WriteFile(dir_ / "more.toml", "[[rules]]\nid = \"mine\"\ndescription = \"My token\"\nregex = '''MINE-[0-9]{8}'''\n");
  EXPECT_EQ(Judged("x", "a\nMINE-12345678\n").Reason(), "mine, line 2");
  WriteFile(dir_ / "more.toml", "[[rules]\n");
  EXPECT_EQ(gate::Judge::Open(config_).error().find(dir_ / "more.toml:1"), 0U) << gate::Judge::Open(config_).error();
}

}  // namespace
}  // namespace tierfs::test
