// What `tierctl check` looks for, and how each of its findings is mended.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "tools/output.h"

namespace tierfs::tools {

using Repaired = tl::expected<void, std::string>;  // the error is one line

struct Finding {
  std::string code;                  // "duplicate", "stray-whiteout": stable, for programs
  std::string path;                  // relative to the mount; "" when it is about no path
  std::string what;                  // one line
  std::string cure;                  // one line
  std::function<Repaired()> repair;  // none: a person has to decide
};

// What a check works on. `mounted`: a daemon serves the mount, and works on the same trees.
struct Subject {
  const Config& config;
  const policy::Policy& policy;
  bool mounted;
};

// Names and attributes in the four trees, over the lower layers.
[[nodiscard]] tl::expected<std::vector<Finding>, std::string> CheckTrees(const Subject& subject, Progress& progress);
// The catalogue by itself, its open intents, and its rows against the trees.
[[nodiscard]] std::vector<Finding> CheckCatalogue(const Subject& subject, Progress& progress);

}  // namespace tierfs::tools
