// The check of a mount: its trees, its lower layers and its catalogue against what they have to be.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "policy/policy.h"

namespace tierfs::check {

using Repaired = tl::expected<void, std::string>;  // the error is one line

struct Finding {
  std::string code;                  // "duplicate", "stray-whiteout": stable, for programs
  std::string path;                  // relative to the mount; "" when it is about no path
  std::string what;                  // one line; may quote names as they are
  std::string cure;                  // one line
  std::function<Repaired()> repair;  // none: a person has to decide
};

// What a check works on. `mounted`: a daemon serves the mount, and works on the same trees.
// Outlives the findings.
struct Subject {
  const Config& config;
  const policy::Policy& policy;
  bool mounted;
};

// Is called now and then with the number of entries that were looked at.
using Progress = std::function<void(std::uint64_t seen)>;

// Names and attributes in the four trees, over the lower layers. Changes nothing but through
// Finding::repair. The error is one line: a layer cannot be opened.
[[nodiscard]] tl::expected<std::vector<Finding>, std::string> CheckTrees(const Subject& subject, const Progress& progress);
// The catalogue by itself, its open intents, and its rows against the trees.
[[nodiscard]] std::vector<Finding> CheckCatalogue(const Subject& subject, const Progress& progress);

}  // namespace tierfs::check
