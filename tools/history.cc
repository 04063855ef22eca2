#include "tools/history.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "fs/os/paths.h"
#include "fs/os/unique_fd.h"

namespace tierfs::tools {
namespace fs = std::filesystem;

std::optional<History> HistoryOf(const std::string& mount, Outcome& outcome) {
  auto config = ConfigFor(mount, outcome);
  if (!config) return std::nullopt;
  if (!config->version) {
    std::cerr << ErrorLine(*config, "tier 1 has no history: add [version] with 'repo' to " + config->file) << "\n";
    outcome.code = kUsage;
    return std::nullopt;
  }
  history::Repository repository(config->version->repo);
  std::error_code problem;
  if (!fs::exists(repository.directory() + "/HEAD", problem)) {
    CannotDo(*config, "there is no repository at " + repository.directory() + ": 'tierctl init " + config->file + "' makes it", outcome);
    return std::nullopt;
  }
  std::string mountpoint = MountpointOf(*config);
  return History{std::move(*config), std::move(mountpoint), std::move(repository)};
}

void CannotDo(const Config& config, const std::string& error, Outcome& outcome) {
  std::cerr << ErrorLine(config, error) << "\n";
  outcome.code = kCannot;
}

tl::expected<std::string, std::string> PathInMount(const History& history, const std::string& path) {
  std::string relative = path;
  if (path.starts_with("/")) {
    const std::string absolute = AbsolutePath(path);
    const std::string& top = history.mountpoint.empty() ? history.config.mountpoint : history.mountpoint;
    if (top.empty() || !history::IsAtOrBeneath(absolute, top)) return tl::unexpected(Quoted(path) + " is not in the mount");
    relative = absolute.substr(std::min(absolute.size(), top.size() + 1));
  }
  relative = fs::path(relative).lexically_normal().string();
  while (relative.ends_with("/")) relative.pop_back();
  if (relative == ".") relative.clear();
  if (relative == ".." || relative.starts_with("../")) return tl::unexpected(Quoted(path) + " is not in the mount");
  return relative;
}

bool Coloured() {
  const char* no = std::getenv("NO_COLOR");
  return ::isatty(STDOUT_FILENO) != 0 && (no == nullptr || *no == '\0');
}

namespace {

// Puts the text in the place of standard input.
bool ReadFromText(const std::string& text) {
  const UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  for (std::size_t at = 0; file && at < text.size();) {
    const ssize_t wrote = ::write(file.get(), text.data() + at, text.size() - at);
    if (wrote < 0) return false;
    at += static_cast<std::size_t>(wrote);
  }
  return file && ::lseek(file.get(), 0, SEEK_SET) == 0 && ::dup2(file.get(), STDIN_FILENO) == STDIN_FILENO;
}

}  // namespace

std::string BecomeGit(const history::Repository& repository, const std::vector<std::string>& arguments, const std::string& input) {
  if (!input.empty() && !ReadFromText(input)) return std::string("no memory for the input of git: ") + std::strerror(errno);
  const Command command = repository.GitCommand(arguments);
  for (const std::string& each : command.environment) {
    const std::size_t equals = each.find('=');
    const std::string name = each.substr(0, equals);
    if (name == "LC_ALL" || name == "GIT_TERMINAL_PROMPT") continue;  // the user's own terminal
    if (equals == std::string::npos) {
      ::unsetenv(name.c_str());
    } else {
      ::setenv(name.c_str(), each.c_str() + equals + 1, 1);
    }
  }
  std::vector<char*> words;
  for (const std::string& each : command.arguments) words.push_back(const_cast<char*>(each.c_str()));
  words.push_back(nullptr);
  std::cout.flush();
  ::execvp(words[0], words.data());
  return errno == ENOENT ? "git is not installed: apt install git" : std::string("git cannot be run: ") + std::strerror(errno);
}

void Page(const history::Repository& repository, const std::string& text) {
  if (::isatty(STDOUT_FILENO) != 0 && !text.empty()) {
    auto pager = repository.Run({"var", "GIT_PAGER"});
    if (pager && !pager->empty()) {
      ::setenv("LESS", "FRX", 0);
      ::setenv("LV", "-c", 0);
      std::cout.flush();
      if (FILE* to = ::popen(pager->c_str(), "w"); to != nullptr) {
        const auto old = ::signal(SIGPIPE, SIG_IGN);  // the reader may leave early
        (void)std::fwrite(text.data(), 1, text.size(), to);
        (void)::pclose(to);
        ::signal(SIGPIPE, old);
        return;
      }
    }
  }
  std::cout << text << std::flush;
}

std::string AttributeLines(const std::vector<history::Difference>& differences) {
  std::string text;
  for (const history::Difference& each : differences) {
    if (each.attributes.empty()) continue;
    const char* what = each.what == 'A' ? "added, " : each.what == 'D' ? "removed, " : "";
    text += Quoted(each.path.empty() ? "." : each.path) + ": " + what;
    for (std::size_t i = 0; i < each.attributes.size(); ++i) text += (i == 0 ? "" : ", ") + each.attributes[i];
    text += "\n";
  }
  return text;
}

}  // namespace tierfs::tools
