#include "fs/config/history.h"

#include <algorithm>

#include "fs/config/section.h"

namespace tierfs {
namespace {

void ReadVersion(Section& section, Config& config) {
  if (!section.present()) return;
  VersionConfig version;
  section.Path("repo", version.repo);
  section.Text("remote", version.remote);
  section.Flag("in_backup", version.in_backup);
  section.Time("push_every", version.push_every);
  section.Time("settle", version.settle);
  section.Time("at_most", version.at_most);
  section.Word("author", {"login", "uid", "none"}, [&](std::size_t at) { version.author = static_cast<VersionConfig::Author>(at); });
  section.List("on_commit", version.on_commit);
  if (version.repo.empty()) section.Problem("repo", "no repository; add: repo = \"/srv/" + config.name + "/tier1.git\"");
  if (version.remote.starts_with("-")) section.Problem("remote", "'version.remote' may not begin with a dash");
  if (version.at_most < version.settle) section.Problem("at_most", "'version.at_most' has to be at least 'version.settle'");
  if (std::find(config.feed.begin(), config.feed.end(), TierId::kBuild) == config.feed.end())
    section.Problem("repo", "the history of tier 1 needs its changes recorded: put 1 into 'feed'");
  config.version = std::move(version);
}

void ReadGate(Section& section, Config& config) {
  GateConfig& gate = config.gate;
  section.Word("on_finding", {"move", "hold", "off"}, [&](std::size_t at) { gate.on_finding = static_cast<GateConfig::OnFinding>(at); });
  section.List("rules", gate.rules);
  for (std::string& file : gate.rules) file = section.Absolute(file);
  section.Size("max_file", gate.max_file);
  section.Size("max_growth", gate.max_growth);
  gate.allow = config.name + ".allow";
  section.Path("allow", gate.allow);
}

}  // namespace

ConfigResult<void> ReadHistory(const toml::table& table, Config& config) {
  Section version(table, config, "version", {"repo", "remote", "push_every", "in_backup", "settle", "at_most", "author", "on_commit"});
  ReadVersion(version, config);
  if (version.problem()) return tl::unexpected(*version.problem());
  Section gate(table, config, "gate", {"on_finding", "rules", "allow", "max_file", "max_growth"});
  ReadGate(gate, config);
  if (gate.problem()) return tl::unexpected(*gate.problem());
  return {};
}

}  // namespace tierfs
