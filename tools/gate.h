// What the gate says about paths, for people.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "fs/jobs/gate/judge.h"
#include "tools/verb.h"

namespace tierfs::tools {

// Turns a path as a user writes it, absolute or relative to the mount, into one relative to the
// mount.
[[nodiscard]] std::string PathOnMount(const Config& config, const std::string& given);

// The same for a path that leads out of the mount too: that is an error, in one line.
[[nodiscard]] tl::expected<std::string, std::string> GivenPath(const Config& config, const std::string& given);

// The first tier whose tree holds the path; 0 for none.
[[nodiscard]] int TierWith(const Config& config, const std::string& path);

// If the rule that decides about a path (as Rule::Describe shows it) is one of the gate's, returns
// why the gate made it.
[[nodiscard]] std::optional<std::string> GateReason(const Config& config, const std::string& rule, const std::string& path);

// The commands that undo such a rule, on one line.
[[nodiscard]] std::string GateCure(const Config& config, const std::string& path);

// Prints all that can be done about a path that the gate has found; "" is any path.
void PrintCures(const Config& config, const std::string& path);

[[nodiscard]] nlohmann::json VerdictToJson(const gate::Verdict& verdict);

// tierctl gate scan and test.
void AddGateScan(Verb group, Outcome& outcome);
void AddGateTest(Verb group, Outcome& outcome);

}  // namespace tierfs::tools
