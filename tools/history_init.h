// The repository of tier 1, made by tierctl init.
#pragma once

#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"

namespace tierfs::tools {

struct RepositoryRequest {
  std::string import;     // a git repository whose history is taken over; "" for none
  std::string prefix;     // where its files are in the mount
  bool findings = false;  // take it over although the gate would have stopped files of it
  bool dry_run = false;
};

// What was, or would be, done; or the errors, one line each.
using RepositorySteps = tl::expected<std::vector<std::string>, std::vector<std::string>>;

// Makes the repository of the config if there is none; what it has to hold is committed by the
// daemon.
[[nodiscard]] RepositorySteps InitRepository(const Config& config, const RepositoryRequest& request);

}  // namespace tierfs::tools
