// The daemon's command line, as mount(8), mount.fuse3 and users write it.
#include "fs/daemon/options.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace tierfs {
namespace {

tl::expected<DaemonOptions, CommandLineEnd> Parse(std::vector<std::string> words) {
  words.insert(words.begin(), "tierfs");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

std::string Refusal(std::vector<std::string> words) {
  const auto parsed = Parse(std::move(words));
  if (parsed) return "(accepted)";
  EXPECT_TRUE(parsed.error().failed);
  EXPECT_EQ(std::count(parsed.error().text.begin(), parsed.error().text.end(), '\n'), 0) << parsed.error().text;
  return parsed.error().text;
}

TEST(Options, AsMountHelpersPassThem) {
  const auto parsed =
      Parse({"/etc/tierfs/a.toml", "/srv/a", "-o", "rw,noexec,nosuid,nodev,noatime,nofail,x-systemd.automount,_netdev,comment=x"});
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->config, "/etc/tierfs/a.toml");
  EXPECT_EQ(parsed->mountpoint, "/srv/a");
  EXPECT_EQ(parsed->kernel_options, (std::vector<std::string>{"rw", "noexec", "nosuid", "nodev"}));
  EXPECT_TRUE(parsed->noatime);
  EXPECT_TRUE(parsed->passthrough);
  EXPECT_FALSE(parsed->io_uring.has_value());
  EXPECT_FALSE(parsed->foreground);
}

TEST(Options, OfTierfsItself) {
  const auto parsed = Parse({"-f", "a.toml", "-o", "passthrough=no,io_uring=on", "-o", "nonempty,log=debug"});
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->foreground);
  EXPECT_FALSE(parsed->passthrough);
  EXPECT_EQ(parsed->io_uring, true);
  EXPECT_TRUE(parsed->nonempty);
  EXPECT_EQ(parsed->log_level, "debug");
  EXPECT_EQ(parsed->mountpoint, "");
  EXPECT_TRUE(Parse({"a.toml", "-o", "debug"})->foreground);
  EXPECT_TRUE(Parse({"a.toml", "/m", "-o", "remount,ro"})->remount);
}

TEST(Options, AnErrorIsReportedInOneLine) {
  EXPECT_EQ(Refusal({}), "tierfs: no config (see tierfs --help)");
  EXPECT_EQ(Refusal({"a.toml", "-o", "pasthrough=no"}), "tierfs: unknown mount option 'pasthrough=no' (see tierfs --help)");
  EXPECT_EQ(Refusal({"a.toml", "-o", "passthrough=maybe"}), "tierfs: option 'passthrough=maybe': expected yes or no");
  EXPECT_EQ(Refusal({"a.toml", "-o", "log=loud"}), "tierfs: option 'log=loud': expected error, warning, info, debug or trace");
  EXPECT_NE(Refusal({"a.toml", "/m", "one too many"}).find("(see tierfs --help)"), std::string::npos);
  EXPECT_NE(Refusal({"a.toml", "--frobnicate"}).find("(see tierfs --help)"), std::string::npos);
}

TEST(Options, HelpNamesEveryOptionAndKey) {
  const auto help = Parse({"--help"});
  ASSERT_FALSE(help);
  EXPECT_FALSE(help.error().failed);
  for (const char* word :
       {"ro ", "noexec", "passthrough=yes|no", "allow_other", "remount", "log=LEVEL", "cache_timeout", "lower", "exit codes"}) {
    EXPECT_NE(help.error().text.find(word), std::string::npos) << word;
  }
  EXPECT_EQ(Parse({"--version"}).error().text.rfind("tierfs ", 0), 0U);
}

}  // namespace
}  // namespace tierfs
