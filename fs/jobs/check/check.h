// Checks a mount: its trees, its lower layers and its catalogue against their required state.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"
#include "fs/control/protocol.h"
#include "policy/policy.h"

namespace tierfs::check {

using Repaired = tl::expected<void, std::string>;  // the error is one line

struct Finding {
  std::string code;                  // a stable code for programs: "duplicate", "stray-whiteout"
  std::string path;                  // relative to the mount; "" if no path is concerned
  std::string what;                  // one line; may contain names unescaped
  std::string cure;                  // one line
  std::function<Repaired()> repair;  // empty: a person has to decide
};

// The subject of a check. `mounted`: a daemon serves the mount and works on the same trees. Must
// outlive the findings.
struct Subject {
  const Config& config;
  const policy::Policy& policy;
  bool mounted;
};

// Called now and then with the number of entries looked at.
using Progress = std::function<void(std::uint64_t seen)>;

// Checks that each path of the config leads to the directory that the daemon works in (`daemon`,
// null if none runs) and that the tiers have their identity marks. If not, the other checks would
// look at the wrong directories.
[[nodiscard]] std::vector<Finding> CheckLayers(const Subject& subject, const protocol::DaemonStatus* daemon);
// Checks names and attributes in the four trees and against the lower layers. Changes nothing
// except through Finding::repair. The error is one line: a layer cannot be opened.
[[nodiscard]] tl::expected<std::vector<Finding>, std::string> CheckTrees(const Subject& subject, const Progress& progress);
// Checks the catalogue by itself, its open intents, and its rows against the trees.
[[nodiscard]] std::vector<Finding> CheckCatalogue(const Subject& subject, const Progress& progress);

}  // namespace tierfs::check
