// `tierctl policy check`, `test` and `diff`, and `tierctl explain`: valid and invalid input, output
// as text and JSON, and exit codes.
#include <nlohmann/json.hpp>

#include "tests/unit/support.h"

namespace tierfs::test {
namespace {

using nlohmann::json;

class PolicyVerbs : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(dir_ / "good.tiers", "# a comment\n4 /usr/\n1 /etc/\n2 /etc/ssl/private/\nstate /var/cache/\ninclude more.tiers\n");
    WriteFile(dir_ / "more.tiers", "3 *.pyc\n");
  }
  static Ran Call(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), TIERCTL_BINARY);
    return Execute(arguments);
  }
  // Runs the command, expects this exit code, and parses its output as JSON.
  static json Json(std::vector<std::string> arguments, int code) {
    arguments.emplace_back("--json");
    const Ran ran = Call(std::move(arguments));
    EXPECT_EQ(ran.code, code) << ran.out << ran.err;
    return json::parse(ran.out, nullptr, false);
  }
  [[nodiscard]] std::string File(const std::string& name, const std::string& text) const {
    WriteFile(dir_ / name, text);
    return dir_ / name;
  }
  TempDir dir_;
};

TEST_F(PolicyVerbs, CheckOfAGoodPolicy) {
  const Ran ran = Call({"policy", "check", dir_ / "good.tiers"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, dir_ / "good.tiers" + ": 5 rules, 0 warnings\n");
  EXPECT_EQ(Call({"policy", "check", "--strict", dir_ / "good.tiers"}).code, 0);
  const json answer = Json({"policy", "check", dir_ / "good.tiers"}, 0);
  EXPECT_EQ(answer["rules"], 5);
  EXPECT_TRUE(answer["errors"].empty());
  EXPECT_TRUE(answer["warnings"].empty());
}

TEST_F(PolicyVerbs, CheckShowsEveryErrorWithItsPlaceAndACaret) {
  const std::string file = File("bad.tiers", "7 /usr/\n1 /a[b/\n3\n1 /etc/\n");
  const Ran ran = Call({"policy", "check", file});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.out, "");
  for (const char* place : {":1:1: ", ":2:5: ", ":3:2: "}) EXPECT_NE(ran.err.find(file + place), std::string::npos) << place << ran.err;
  EXPECT_NE(ran.err.find("7 /usr/\n"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("^"), std::string::npos) << ran.err;
  const json answer = Json({"policy", "check", file}, 2);
  ASSERT_EQ(answer["errors"].size(), 3U);
  EXPECT_EQ(answer["errors"][1]["line"], 2);
  EXPECT_EQ(answer["errors"][1]["column"], 5);
  EXPECT_EQ(answer["errors"][1]["file"], file);
}

TEST_F(PolicyVerbs, CheckFindsTheErrorInAnIncludedFile) {
  WriteFile(dir_ / "more.tiers", "3 *.pyc\nx y\n");
  const Ran ran = Call({"policy", "check", dir_ / "good.tiers"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find(dir_ / "more.tiers:2:1: "), std::string::npos) << ran.err;
}

TEST_F(PolicyVerbs, CheckWarnsAndStrictSetsTheExitCode) {
  const std::string file = File("lint.tiers", "4 /usr/lib/\n4 /usr/\n1 *.pem\n");
  const Ran ran = Call({"policy", "check", file});
  EXPECT_EQ(ran.code, 0);
  EXPECT_NE(ran.out.find("warning [never-wins]: " + file + ":1:"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("warning [tier1-credential]: " + file + ":3:"), std::string::npos) << ran.out;
  EXPECT_EQ(Call({"policy", "check", "--strict", file}).code, 1);
  const json answer = Json({"policy", "check", "--strict", file}, 1);
  ASSERT_EQ(answer["warnings"].size(), 2U);
  EXPECT_EQ(answer["warnings"][0]["code"], "never-wins");
}

TEST_F(PolicyVerbs, CheckOfAMissingPolicyFails) {
  const Ran ran = Call({"policy", "check", dir_ / "none"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.err, "error: " + (dir_ / "none") + ": cannot read the policy: No such file or directory\n");
  EXPECT_EQ(Call({"policy", "check"}).code, 2);
  EXPECT_EQ(Call({"policy"}).code, 2);
}

TEST_F(PolicyVerbs, TestOfExpectationsThatHold) {
  const std::string file = File("good.expect",
                                "# what matters\n\npolicy good.tiers\netc/hosts -> 1\netc/ssl/private/key.pem -> data\n"
                                "var/cache/ -> tier3\nvar/cache -> 2\nsrv/a -> b -> 2\nusr/x.pyc->3\n");
  const Ran ran = Call({"policy", "test", file});
  EXPECT_EQ(ran.code, 0) << ran.out << ran.err;
  EXPECT_EQ(ran.out, "6 as expected, 0 not\n");
  const json answer = Json({"policy", "test", file}, 0);
  EXPECT_EQ(answer["policy"], dir_ / "good.tiers");
  EXPECT_EQ(answer["checked"], 6);
  EXPECT_TRUE(answer["failures"].empty());
}

TEST_F(PolicyVerbs, TestShowsWhichExpectationsFailAndWhy) {
  const std::string file = File("off.expect", "etc/hosts -> 1\netc/hosts -> 2\nsrv/x -> 4\n");
  const Ran ran = Call({"policy", "test", "--policy", dir_ / "good.tiers", file});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.out, file + ":2: etc/hosts is tier 1, expected 2 (" + (dir_ / "good.tiers") + ":3: 1 /etc/)\n" + file +
                         ":3: srv/x is tier 2, expected 4 (no rule)\n1 as expected, 2 not\n");
  const json answer = Json({"policy", "test", "--policy", dir_ / "good.tiers", file}, 1);
  ASSERT_EQ(answer["failures"].size(), 2U);
  EXPECT_EQ(answer["failures"][0]["line"], 2);
  EXPECT_EQ(answer["failures"][0]["tier"], 1);
  EXPECT_EQ(answer["failures"][0]["expected"], 2);
  EXPECT_EQ(answer["failures"][1]["rule"], "no rule");
}

TEST_F(PolicyVerbs, TestShowsEveryInvalidLine) {
  const std::string file = File("bad.expect", "policy good.tiers\netc/hosts\netc/hosts -> 5\n -> 1\npolicy other.tiers\netc/hosts -> 1\n");
  const Ran ran = Call({"policy", "test", file});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.out, "");
  for (const char* place : {":2:1: expected 'PATH -> TIER'", ":3:13: '5' is not a tier", ":4:1: no path", ":5:1: a second policy"}) {
    EXPECT_NE(ran.err.find(file + place), std::string::npos) << place << "\n" << ran.err;
  }
}

TEST_F(PolicyVerbs, TestRequiresAReadablePolicy) {
  const std::string file = File("x.expect", "etc/hosts -> 1\n");
  EXPECT_EQ(Call({"policy", "test", file}).err, file + ": names no policy; write 'policy FILE' into it or use --policy FILE\n");
  EXPECT_EQ(Call({"policy", "test", file}).code, 2);
  EXPECT_EQ(Call({"policy", "test", file, "--policy", dir_ / "none"}).code, 2);
  EXPECT_EQ(Call({"policy", "test", dir_ / "none"}).code, 2);
  EXPECT_EQ(Call({"policy", "test", dir_.path()}).code, 2);
  const std::string broken = File("broken.tiers", "9 x\n");
  const Ran ran = Call({"policy", "test", file, "--policy", broken});
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find(broken + ":1:1: "), std::string::npos) << ran.err;
}

TEST_F(PolicyVerbs, DiffShowsTheFilesAndBytesThatChangeTheirTier) {
  MakeDirs(dir_ / "tree/usr/local/bin");
  MakeDirs(dir_ / "tree/etc");
  WriteFile(dir_ / "tree/usr/local/bin/tool", std::string(3000, 't'));
  WriteFile(dir_ / "tree/usr/local/odd\nname", "12");
  WriteFile(dir_ / "tree/usr/stays", "x");
  WriteFile(dir_ / "tree/etc/hosts", "h");
  const std::string after = File("new.tiers", "4 /usr/\n2 /usr/local/\n1 /etc/\n");
  const Ran ran = Call({"policy", "diff", dir_ / "good.tiers", after, "--tree", dir_ / "tree"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_NE(ran.out.find("4 -> 2  usr/local/bin/tool\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("4 -> 2  usr/local/odd?name\n"), std::string::npos) << ran.out;
  EXPECT_EQ(ran.out.find("stays"), std::string::npos);
  EXPECT_NE(ran.out.find("2.9 KiB"), std::string::npos) << ran.out;
  const json answer = Json({"policy", "diff", dir_ / "good.tiers", after, "--tree", dir_ / "tree"}, 0);
  EXPECT_EQ(answer["changes"].size(), 2U);
  ASSERT_EQ(answer["totals"].size(), 1U);
  EXPECT_EQ(answer["totals"][0], (json{{"from", 4}, {"to", 2}, {"files", 2}, {"bytes", 3002}}));
  EXPECT_EQ(Call({"policy", "diff", after, after, "--tree", dir_ / "tree"}).out, "no path changes its tier\n");
}

TEST_F(PolicyVerbs, DiffOfAMissingPolicyFails) {
  const std::string good = dir_ / "good.tiers";
  EXPECT_EQ(Call({"policy", "diff", good, good, "--tree", dir_ / "none"}).code, 3);
  EXPECT_EQ(Call({"policy", "diff", good, dir_ / "none", "--tree", dir_.path()}).code, 2);
  EXPECT_EQ(Call({"policy", "diff", good, good}).code, 2);
}

TEST_F(PolicyVerbs, ExplainGivesTheDecidingOverriddenAndPendingRules) {
  const Ran ran = Call({"explain", "--policy", dir_ / "good.tiers", "etc/ssl/private/a.pyc"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "etc/ssl/private/a.pyc\n  tier 3\n  by       " + (dir_ / "more.tiers") +
                         ":1: 3 *.pyc   (matches etc/ssl/private/a.pyc)\n  overrode " + (dir_ / "good.tiers") +
                         ":4: 2 /etc/ssl/private/   (matches etc/ssl/private)\n  overrode " + (dir_ / "good.tiers") +
                         ":3: 1 /etc/   (matches etc)\n");
  const json answer = Json({"explain", "--policy", dir_ / "good.tiers", "etc/", "srv/x"}, 0);
  ASSERT_EQ(answer.size(), 2U);
  EXPECT_EQ(answer[0]["tier"], 1);
  EXPECT_EQ(answer[0]["may_change_below"].size(), 2U) << "/etc/ssl/private/ and *.pyc";
  EXPECT_EQ(answer[1]["tier"], 2);
  EXPECT_TRUE(answer[1]["rule"].is_null());
}

TEST_F(PolicyVerbs, ExplainOfABrokenPolicyShowsTheFirstError) {
  const std::string broken = File("broken.tiers", "1 /etc/\n9 x\n");
  const Ran ran = Call({"explain", "--policy", broken, "etc"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_NE(ran.err.find(broken + ":2:1: '9' is not a tier"), std::string::npos) << ran.err;
  EXPECT_EQ(Call({"explain", "--policy", dir_ / "none", "etc"}).code, 2);
  EXPECT_EQ(Call({"explain"}).code, 2);
}

TEST_F(PolicyVerbs, NamesWithControlBytesAreEscaped) {
  const Ran ran = Call({"explain", "--policy", dir_ / "good.tiers", "usr/\x1b[31m\xff"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
  EXPECT_EQ(Json({"explain", "--policy", dir_ / "good.tiers", "usr/\xff"}, 0)[0]["tier"], 4);
}

TEST_F(PolicyVerbs, RulesWithControlBytesAreEscaped) {
  const std::string rules = File("bytes.tiers", "4 /a\x1b]0;m/\n3 /a\x1b]0;m/b\n2 /a\x1b]0;m/b\n");
  const std::string expectations = File("bytes.expect", "policy bytes.tiers\na\x1b]0;m/b -> 3\n");
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"policy", "check", rules},
                                                    {"policy", "test", expectations},
                                                    {"explain", "--policy", rules, "a\x1b]0;m/"},
                                                    {"explain", "--policy", rules, "a\x1b]0;m/b"}}) {
    const Ran ran = Call(arguments);
    EXPECT_NE((ran.out + ran.err).find("?]0;m/b"), std::string::npos) << ran.out << ran.err;
    EXPECT_EQ((ran.out + ran.err).find('\x1b'), std::string::npos) << ran.out << ran.err;
  }
}

}  // namespace
}  // namespace tierfs::test
