// The scanner for credentials and its built-in rules.
#include "policy/secrets/scanner.h"

#include <gtest/gtest.h>

namespace tierfs::secrets {
namespace {

TEST(Secrets, TheBuiltInRulesCompile) {
  const auto rules = Compile({});
  ASSERT_TRUE(rules) << rules.error();
  const auto found = Scan(**rules, "etc/app.conf",
                          "a\n-----BEGIN "
                          "PRIVATE KEY-----\npassword = hunter22\n");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].line, 2U);
  EXPECT_EQ(found[1].line, 3U);
}

}  // namespace
}  // namespace tierfs::secrets
