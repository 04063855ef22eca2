// The rules of the gate (STATE/gate.tiers) as a part of a mount's policy.
#include "fs/config/config.h"

#include <unistd.h>

#include "tests/unit/support.h"

namespace tierfs::test {
namespace {

class GatePolicy : public ::testing::Test {
 protected:
  GatePolicy() {
    config_.file = dir_ / "m.toml";
    config_.state = dir_ / "state";
    config_.policy_file = dir_ / "m.tiers";
    MakeDirs(config_.state);
    WriteFile(config_.policy_file, "1 /etc/\n4 /srv/\n");
  }
  void Gate(const std::string& text) const { WriteFile(config_.GateRules(), text); }
  static int TierIn(const policy::ParseResult& loaded, const std::string& path) {
    EXPECT_TRUE(loaded.policy) << loaded.errors.front().Headline();
    return loaded.policy ? NumberOf(loaded.policy->DecisionFor(path, false).tier) : 0;
  }

  TempDir dir_;
  Config config_;
};

TEST_F(GatePolicy, ItsRulesWinOverAllOthers) {
  EXPECT_EQ(TierIn(LoadPolicy(config_), "etc/key"), 1);
  Gate("# gate: private-key, line 1\n2 /etc/key\n");
  EXPECT_EQ(TierIn(LoadPolicy(config_), "etc/key"), 2);
  EXPECT_EQ(TierIn(LoadPolicy(config_), "etc/key2"), 1);
  const auto loaded = LoadPolicy(config_);
  EXPECT_EQ(loaded.policy->RuleOf(loaded.policy->DecisionFor("etc/key", false).rule).Describe(), config_.GateRules() + ":2: 2 /etc/key");
  WriteFile(dir_ / "other.tiers", "3 /etc/\n");
  EXPECT_EQ(TierIn(LoadPolicy(config_, dir_ / "other.tiers"), "etc/key"), 2);
  EXPECT_EQ(TierIn(LoadPolicy(config_, dir_ / "other.tiers"), "etc/x"), 3);
  config_.policy_file.clear();
  config_.rules = "1 /etc/\n";
  EXPECT_EQ(TierIn(LoadPolicy(config_), "etc/key"), 2);
}

TEST_F(GatePolicy, ABrokenFileIsAnErrorThatNamesItsLine) {
  Gate("# gate: x\n2 /etc/a\n2 /etc/[b\n");
  const auto loaded = LoadPolicy(config_);
  ASSERT_FALSE(loaded.policy);
  EXPECT_EQ(FirstErrorOf(loaded).find(config_.GateRules() + ":3:"), 0U) << FirstErrorOf(loaded);
  EXPECT_NE(FirstErrorOf(loaded).find("correct the line, or remove it"), std::string::npos) << FirstErrorOf(loaded);
  Gate("include more.tiers\n");
  EXPECT_FALSE(LoadPolicy(config_).policy);
  Gate("2 /a\n" + std::string(20, '\0') + "\n");
  EXPECT_FALSE(LoadPolicy(config_).policy);
}

TEST_F(GatePolicy, AnUnreadableFileIsAnError) {
  MakeDirs(config_.GateRules());
  const auto loaded = LoadPolicy(config_);
  ASSERT_FALSE(loaded.policy);
  EXPECT_NE(FirstErrorOf(loaded).find(config_.GateRules()), std::string::npos) << FirstErrorOf(loaded);
  const auto base = LoadPolicyFile(config_.policy_file);
  EXPECT_FALSE(WithGateRules(config_, *base.policy).policy);
}

TEST_F(GatePolicy, ChangedAloneItLeavesTheOtherRulesAsTheyWereLoaded) {
  Gate("# gate: x\n2 /etc/old\n");
  const auto before = LoadPolicy(config_);
  WriteFile(config_.policy_file, "3 /etc/\n");  // an edit that nobody has loaded
  Gate("# gate: x\n2 /etc/new\n");
  const auto after = WithGateRules(config_, *before.policy);
  EXPECT_EQ(TierIn(after, "etc/new"), 2);
  EXPECT_EQ(TierIn(after, "etc/old"), 1);
  EXPECT_EQ(TierIn(after, "etc/other"), 1);
  EXPECT_EQ(after.policy->rules().size(), before.policy->rules().size());
  ASSERT_EQ(::unlink(config_.GateRules().c_str()), 0);
  EXPECT_EQ(TierIn(WithGateRules(config_, *after.policy), "etc/new"), 1);
}

}  // namespace
}  // namespace tierfs::test
