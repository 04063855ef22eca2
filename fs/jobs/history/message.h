// The message of a commit, and its author.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "fs/config/config.h"
#include "fs/os/actor.h"

namespace tierfs::history {

struct ChangedPath {
  char what = 'M';  // A added, M modified, m owner, mode or extended attributes only, D removed
  std::string path;
  std::string reason;  // of a file that the gate moved to tier 2; else ""
};

struct Writing {
  std::string text;
  std::string author_name;
  std::string author_mail;
  std::string committer_mail;  // of tierfs itself
};

//   etc/nginx/nginx.conf: modified by vim
//
//   M etc/nginx/nginx.conf
//
//   Process: vim (1234)
//   Actor-Uid: 0
//   Login-Uid: 1000
//   Unit: session-3.scope
//
// Without an actor the program is unknown. With author = "none" no trailer says who it was.
[[nodiscard]] Writing Describe(const VersionConfig& version, const Actor* actor, const std::vector<ChangedPath>& paths);
// The trailer with the token of the change feed, up to which everything is committed.
[[nodiscard]] std::string TokenLine(const std::string& token);

}  // namespace tierfs::history
