// The list for a backup job: the paths that the tool has to read.
#include "fs/jobs/backup/change_list.h"

#include <gtest/gtest.h>

#include <map>

#include "fs/os/process.h"

namespace tierfs {
namespace {

using Paths = std::vector<std::string>;

// `tree` is the current tree. Every path that it lacks is absent.
Paths ToCopy(const std::vector<ChangedPath>& changes, const std::map<std::string, Standing>& tree) {
  return PathsToCopy(changes, [&](const std::string& path) {
    const auto found = tree.find(path);
    return found == tree.end() ? Standing::kAbsent : found->second;
  });
}
ChangedPath Changed(const std::string& path) { return {'M', false, path}; }
ChangedPath Deleted(const std::string& path) { return {'D', false, path}; }

TEST(PathsToCopy, EachPathIsListedOnceWithItsDirectory) {
  EXPECT_EQ(ToCopy({Changed("a"), Changed("d/b"), Changed("d/c"), Changed("")}, {}), (Paths{"", "a", "d", "d/b", "d/c"}));
}

TEST(PathsToCopy, PathsBeneathAnAbsentPathAreLeftOut) {
  const std::map<std::string, Standing> tree{{"d", Standing::kDirectory}};
  EXPECT_EQ(ToCopy({Deleted("d/gone"), Deleted("d/gone/x"), Deleted("d/gone/x/y")}, tree), (Paths{"d", "d/gone"}));
  // The directory itself may have been removed earlier, and so be missing from the list.
  EXPECT_EQ(ToCopy({Deleted("d/gone/x/y")}, tree), (Paths{"d", "d/gone"}));
}

// A path beneath a former directory would be followed through a symlink, or be an error.
TEST(PathsToCopy, AnEntryInPlaceOfADirectoryReplacesThePathsBeneath) {
  const std::map<std::string, Standing> tree{{"srv", Standing::kDirectory}, {"srv/current", Standing::kOther}};
  EXPECT_EQ(ToCopy({Deleted("srv/current/app.py"), Deleted("srv/current/lib/x")}, tree), (Paths{"srv", "srv/current"}));
}

TEST(PathsToCopy, ADeletionInADirectoryThatStaysNamesThePath) {
  EXPECT_EQ(ToCopy({Deleted("d/x")}, {{"d", Standing::kDirectory}}), (Paths{"d", "d/x"}));
  EXPECT_EQ(ToCopy({Deleted("x")}, {}), (Paths{"", "x"}));
}

TEST(Lossy, EveryByteThatIsNotUtf8IsAQuestionMark) {
  EXPECT_EQ(Lossy("plain/\xC3\xBC\xE2\x82\xAC\xF0\x9F\x91\x8D\n"), "plain/\xC3\xBC\xE2\x82\xAC\xF0\x9F\x91\x8D\n");
  EXPECT_EQ(Lossy("\xFF-\xC3"), "?-?");
  EXPECT_EQ(Lossy("\xC0\x80"), "??") << "an overlong form";
  EXPECT_EQ(Lossy("\xED\xA0\x80"), "???") << "a surrogate";
  EXPECT_EQ(Lossy("\xF4\x90\x80\x80"), "????") << "beyond the last code point";
  EXPECT_EQ(Lossy("\xEF\xBF\xBD"), "?") << "the replacement character of other programs";
  EXPECT_FALSE(IsUtf8("a\xFF"));
  EXPECT_TRUE(IsUtf8("a\xC3\xBC"));
}

TEST(Process, HasLinesInputDirectoryAndExitCode) {
  Paths out;
  Paths err;
  Command command;
  command.arguments = {"/bin/sh", "-c", "cat; pwd; printf 'one\\rtwo' ; echo trouble >&2; exit 7"};
  command.directory = "/";
  command.input = std::string(200'000, 'x') + "\n";
  command.output = [&](const std::string& line) { out.push_back(line); };
  command.error = [&](const std::string& line) { err.push_back(line); };
  const auto code = RunProcess(command);
  ASSERT_TRUE(code);
  EXPECT_EQ(*code, 7);
  EXPECT_EQ(out, (Paths{std::string(200'000, 'x'), "/", "one", "two"}));
  EXPECT_EQ(err, Paths{"trouble"});
}

TEST(Process, AFailedStartIsAnErrorAndASignalAnExitCode) {
  Command command;
  command.arguments = {"tierfs-no-such-program"};
  EXPECT_EQ(RunProcess(command).error().code, ENOENT);
  command.arguments = {"/bin/sh", "-c", "kill -9 $$"};
  EXPECT_EQ(*RunProcess(command), 128 + 9);
  command.directory = "/nowhere";
  EXPECT_EQ(RunProcess(command).error().code, ENOENT);
}

}  // namespace
}  // namespace tierfs
