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
//   Tierfs-Token: 5f3a-112
//
// Without an actor the program is unknown. With author = "none" only the token is kept.
[[nodiscard]] Writing Describe(const VersionConfig& version, const Actor* actor, const std::vector<ChangedPath>& paths,
                               const std::string& token);

}  // namespace tierfs::history
