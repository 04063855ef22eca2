// The rules that the gate has made: STATE/gate.tiers. Each puts one path into tier 2 and says why.
//
//   # gate: private-key, line 3 (2026-11-27 14:02)
//   2 /etc/exim4/passwd.client
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "fs/jobs/gate/judge.h"

namespace tierfs::gate {

struct Entry {
  std::string path;    // relative to the mount
  std::string reason;  // one line
};

// Owns nothing but the name of the file. Several processes may use it at once: changes take a lock
// and replace the file as a whole.
class GateFile {
 public:
  explicit GateFile(const Config& config) : path_(config.GateRules()) {}

  // An absent file is an empty one.
  [[nodiscard]] Outcome<std::vector<Entry>> Read() const;
  // Adds a rule for each path that has none. Durable on return.
  [[nodiscard]] Outcome<void> Add(const std::vector<Entry>& entries) const;
  // Removes the rule of the path and, with `beneath`, those of everything beneath it. Durable on
  // return. Returns the paths.
  [[nodiscard]] Outcome<std::vector<std::string>> Remove(const std::string& path, bool beneath = true) const;
  // The same for the rules of all paths that `is_obsolete` names.
  [[nodiscard]] Outcome<std::vector<std::string>> RemoveIf(const std::function<bool(const std::string& path)>& is_obsolete) const;

 private:
  const std::string path_;
};

}  // namespace tierfs::gate
