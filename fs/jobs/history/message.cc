#include "fs/jobs/history/message.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "fs/os/paths.h"

namespace tierfs::history {
namespace {

constexpr std::size_t kListed = 1000;  // paths in a message
constexpr std::size_t kSubject = 72;   // characters, as git's own tools expect

// Git takes no angle bracket, no newline and no NUL in a name.
std::string Plain(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == 0x7F) c = '_';
  }
  return text;
}

std::string HostName() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? Plain(name.data()) : "localhost";
}

std::string UserName(uid_t uid) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr && *found->pw_name != '\0')
    return Plain(found->pw_name);
  return "uid-" + std::to_string(uid);
}

const char* Verb(char what) {
  switch (what) {
    case 'A':
      return "added";
    case 'D':
      return "removed";
    case 'm':
      return "attributes changed";
    default:
      return "modified";
  }
}

// The directory that holds all the paths.
std::string CommonDirectory(const std::vector<ChangedPath>& paths) {
  std::string common = ParentOf(paths.front().path);
  for (const ChangedPath& each : paths) {
    while (!common.empty() && !(each.path.starts_with(common) && each.path.size() > common.size() && each.path[common.size()] == '/')) {
      common = ParentOf(common);
    }
  }
  return common;
}

std::string Subject(const Actor* actor, const std::vector<ChangedPath>& paths, bool named) {
  std::string subject;
  if (paths.empty()) {
    subject = "changes";
  } else if (paths.size() == 1) {
    const ChangedPath& only = paths.front();
    subject = Quoted(only.path.empty() ? "." : only.path) + ": " + (only.reason.empty() ? Verb(only.what) : "moved to tier 2");
  } else {
    const std::string common = CommonDirectory(paths);
    subject = std::to_string(paths.size()) + " paths" + (common.empty() ? "" : " in " + Quoted(common));
  }
  if (named && actor != nullptr) subject += " by " + actor->program;
  if (subject.size() > kSubject && paths.size() == 1) subject = "..." + subject.substr(subject.size() - kSubject + 3);
  return subject;
}

}  // namespace

Writing Describe(const VersionConfig& version, const Actor* actor, const std::vector<ChangedPath>& paths) {
  using Author = VersionConfig::Author;
  const bool named = version.author != Author::kNone;
  Writing writing;
  writing.text = Subject(actor, paths, named) + "\n\n";
  for (std::size_t i = 0; i < std::min(paths.size(), kListed); ++i) {
    const ChangedPath& each = paths[i];
    writing.text += std::string(1, each.what) + " " + Quoted(each.path.empty() ? "." : each.path);
    writing.text += each.reason.empty() ? "\n" : "  (tier 2: " + each.reason + ")\n";
  }
  if (paths.size() > kListed) writing.text += "and " + std::to_string(paths.size() - kListed) + " more\n";
  writing.text += "\n";
  const std::string host = named ? HostName() : "localhost";
  writing.author_name = "tierfs";
  writing.author_mail = "tierfs@" + host;
  writing.committer_mail = writing.author_mail;
  if (named && actor != nullptr) {
    writing.text += "Process: " + actor->program + " (" + std::to_string(actor->pid) + ")\n";
    writing.text += "Actor-Uid: " + std::to_string(actor->uid) + "\n";
    if (actor->login) writing.text += "Login-Uid: " + std::to_string(*actor->login) + "\n";
    if (!actor->unit.empty()) writing.text += "Unit: " + Plain(actor->unit) + "\n";
    const uid_t author = version.author == Author::kLogin ? actor->login.value_or(actor->uid) : actor->uid;
    writing.author_name = version.author == Author::kLogin ? UserName(author) : "uid-" + std::to_string(author);
    writing.author_mail = writing.author_name + "@" + host;
  }
  return writing;
}

std::string TokenLine(const std::string& token) { return "Tierfs-Token: " + token + "\n"; }

}  // namespace tierfs::history
