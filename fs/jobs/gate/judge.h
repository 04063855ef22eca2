// Decides what may be committed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "policy/secrets/scanner.h"

namespace tierfs::gate {

template <typename T>
using Outcome = tl::expected<T, std::string>;  // the error is one line, without a full stop

// What is looked at: a path, relative to the mount, and everything that a commit would hold of it.
struct Subject {
  std::string_view path;
  std::string_view content;  // of a file, or the target of a symlink
  const std::map<std::string, std::string>& xattrs;
  bool oversize = false;  // larger than gate.max_file; the content is not given
};

// A credential, without anything of it.
struct Finding {
  std::string rule;         // its id
  std::string description;  // what it is
  std::size_t line = 0;     // of the content; 0: elsewhere
  std::string place;        // "line 3"; "attribute user.token"; "" the file as a whole
};

struct Verdict {
  std::vector<Finding> findings;  // without those that are allowed
  bool binary = false;
  bool oversize = false;
  std::uint64_t limit = 0;  // gate.max_file, in bytes

  [[nodiscard]] bool Passes() const { return findings.empty() && !binary && !oversize; }
  // One line that holds nothing of the content or of an attribute's value: "private-key, line 3";
  // "binary"; "larger than 1.0 MiB". "" if it passes.
  [[nodiscard]] std::string Reason() const;
};

// Owns the rules and the list of what is allowed, as they were when it was opened. Thread-safe.
class Judge {
 public:
  // Reads gate.rules and gate.allow. The error names the file and the line.
  [[nodiscard]] static Outcome<Judge> Open(const Config& config);

  // Goes by all rules, whatever gate.on_finding says.
  [[nodiscard]] Verdict Of(const Subject& subject) const;
  // Whether the path may hold anything, of any size.
  [[nodiscard]] bool Allows(std::string_view path) const;
  // Whether a file that this was read from has changed since.
  [[nodiscard]] bool Outdated() const;
  // Whether there is a rule with this id.
  [[nodiscard]] bool HasRule(const std::string& id) const;

 private:
  struct Impl;
  explicit Judge(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<const Impl> impl_;
};

}  // namespace tierfs::gate
