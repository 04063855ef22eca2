// What the verbs of the history share.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fs/jobs/history/difference.h"
#include "fs/jobs/history/repository.h"
#include "tools/mounts.h"
#include "tools/verb.h"

namespace tierfs::tools {

// A mount and the repository of its tier 1.
struct History {
  Config config;
  std::string mountpoint;  // "" if it is not mounted
  history::Repository repository;
};
// Says on stderr what is wrong, and sets the exit code, if there is no such mount or repository.
[[nodiscard]] std::optional<History> HistoryOf(const std::string& mount, Outcome& outcome);

// Says why the verb failed.
void CannotDo(const Config& config, const std::string& error, Outcome& outcome);

// A path of the mount: relative to it, or absolute and in it. Returns it relative; "" is all of it.
[[nodiscard]] tl::expected<std::string, std::string> PathInMount(const History& history, const std::string& path);

// Whether to colour: standard output is a terminal, and NO_COLOR is not set.
[[nodiscard]] bool Coloured();
// Replaces this process by git, with the user's terminal and pager. `input`, if there is any, is
// its standard input. Returns an error only.
[[nodiscard]] std::string BecomeGit(const history::Repository& repository, const std::vector<std::string>& arguments,
                                    const std::string& input = "");
// Shows text on standard output, through the pager of git if that is a terminal.
void Page(const history::Repository& repository, const std::string& text);

// "etc/x: mode 0644 -> 0640, owner root -> www-data" for each difference that has attributes.
[[nodiscard]] std::string AttributeLines(const std::vector<history::Difference>& differences);

}  // namespace tierfs::tools
