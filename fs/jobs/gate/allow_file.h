// What the gate lets pass: the file that gate.allow names. One entry a line:
//
//   # comment
//   path PATTERN            whatever such a file holds, a binary or a large one too
//   rule ID                 what this rule of the scanner finds, anywhere
//   rule ID PATTERN         the same, in such files
//   content SHA256 [# NAME] a file with exactly this content
//
// PATTERN is as in a policy. Later entries only add.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include <tl/expected.hpp>

#include "fs/config/config.h"

namespace tierfs::gate {

// Immutable; threads may share it.
class AllowFile {
 public:
  // An absent file is an empty one. The error is one line: FILE:LINE: what is wrong.
  [[nodiscard]] static tl::expected<AllowFile, std::string> Read(const std::string& file);
  // The same for a text. `file` is its name in errors.
  [[nodiscard]] static tl::expected<AllowFile, std::string> Parse(std::string_view text, const std::string& file);

  [[nodiscard]] bool Path(std::string_view path) const;
  [[nodiscard]] bool Rule(const std::string& id, std::string_view path) const;
  [[nodiscard]] bool Content(std::string_view content) const;

 private:
  std::shared_ptr<const policy::Policy> paths_;
  std::map<std::string, std::shared_ptr<const policy::Policy>> rules_;  // by id
  std::set<std::string> contents_;                                      // SHA-256 in lower case
};

// The entries as lines of the file. There is none for a path that is longer than a pattern may be.
[[nodiscard]] tl::expected<std::string, std::string> AllowPath(const std::string& path);
[[nodiscard]] tl::expected<std::string, std::string> AllowRule(const std::string& id, const std::string& path);
[[nodiscard]] std::string AllowContent(std::string_view content, const std::string& path);

// Adds a line to the config's file, unless it holds it. Durable on return.
[[nodiscard]] tl::expected<void, std::string> AddToAllowFile(const Config& config, const std::string& line);

}  // namespace tierfs::gate
