#include "fs/config/snapshot.h"

#include <utility>

#include "fs/config/section.h"

namespace tierfs {
namespace {

void ReadTable(Section& section, const Config& config, SnapshotConfig& snapshot) {
  section.Path("path", snapshot.path);
  section.Path("store", snapshot.store);
  section.Size("store_limit", snapshot.store_limit);
  section.Time("barrier_limit", snapshot.barrier_limit);
  section.Word("at_least", {"per-file", "barrier"}, [&](std::size_t at) { snapshot.at_least = static_cast<SnapshotLevel>(at); });
  section.List("may_be_mapped", snapshot.may_be_mapped);
  if (snapshot.path.empty()) section.Problem("path", "no path for the snapshots; add: path = \"/srv/" + config.name + "/snapshot\"");
  if (snapshot.barrier_limit.count() <= 0) section.Problem("barrier_limit", "'snapshot.barrier_limit' has to be longer than 0");
  for (const std::string& name : snapshot.may_be_mapped) {
    if (name.find('/') != std::string::npos)
      section.Problem("may_be_mapped", "'snapshot.may_be_mapped' has to be names of files, without a slash; \"*\" stands for any text");
  }
}

void ReadHook(Section& section, SnapshotHook& hook) {
  section.Word("when", {"pre", "hold", "post"}, [&](std::size_t at) { hook.when = static_cast<SnapshotHook::When>(at); });
  section.List("run", hook.run);
  section.Text("container", hook.container);
  section.Time("timeout", hook.timeout);
  section.Word("on_error", {"fail", "warn"}, [&](std::size_t at) { hook.must_succeed = at == 0; });
  if (hook.run.empty()) section.Problem("run", "a hook without a program; add: run = [\"PROGRAM\", \"ARGUMENT\"]");
  if (hook.container.starts_with("-")) section.Problem("container", "'snapshot.hook.container' may not begin with a dash");
  if (hook.timeout.count() <= 0) section.Problem("timeout", "'snapshot.hook.timeout' has to be longer than 0");
}

}  // namespace

ConfigResult<void> ReadSnapshot(const toml::table& table, Config& config) {
  Section section(table, config, "snapshot", {"path", "store", "store_limit", "barrier_limit", "at_least", "may_be_mapped", "hook"});
  SnapshotConfig snapshot;
  if (section.present()) ReadTable(section, config, snapshot);
  const toml::array* hooks = section.Tables("hook");
  if (section.problem()) return tl::unexpected(*section.problem());
  if (!section.present()) return {};
  for (std::size_t i = 0; hooks != nullptr && i < hooks->size(); ++i) {
    Section each(config, "snapshot.hook", (*hooks)[i], {"when", "run", "container", "timeout", "on_error"});
    SnapshotHook hook;
    ReadHook(each, hook);
    if (each.problem()) return tl::unexpected(*each.problem());
    snapshot.hooks.push_back(std::move(hook));
  }
  config.snapshot = std::move(snapshot);
  return {};
}

}  // namespace tierfs
