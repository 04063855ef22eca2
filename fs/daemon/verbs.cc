#include "fs/daemon/verbs.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "fs/os/beneath.h"

namespace tierfs {
namespace {

tl::unexpected<std::string> Refusal(const Catalog& catalog, const Error& error) {
  std::string trouble = catalog.health().CurrentTrouble();
  if (trouble.empty()) trouble = std::string(error.step) + ": " + std::strerror(error.code);
  return tl::unexpected(std::move(trouble));
}

Answer<protocol::Seal> Seal(Catalog& catalog) {
  if (catalog.feed() == nullptr) return tl::unexpected(std::string("this mount records no changes: its config says feed = []"));
  const auto token = catalog.Seal();
  if (!token) return Refusal(catalog, token.error());
  return protocol::Sealed{token->Render(), catalog.database().path()};
}

Answer<protocol::Rescan> Rescan(Catalog& catalog, Tree& tree) {
  protocol::Rescanned rescanned{tree.DropCaches(), 0};
  if (catalog.feed() == nullptr) return rescanned;
  const auto differed = catalog.feed()->Rescan();
  if (!differed) return Refusal(catalog, differed.error());
  rescanned.differed = *differed;
  return rescanned;
}

protocol::CatalogueStatus CatalogueStatusOf(Catalog& catalog) {
  protocol::CatalogueStatus status;
  status.trouble = catalog.health().CurrentTrouble();
  status.notes = catalog.health().Notes();
  status.open_intents = catalog.journal().UnderWay();
  ChangeFeed* feed = catalog.feed();
  status.feed = feed != nullptr;
  if (feed == nullptr) return status;
  const ChangeFeed::State now = feed->Now();
  status.comparing = now.comparing;
  status.compared = now.compared;
  status.waiting = now.waiting;
  status.overflows = now.overflows;
  status.checksums = catalog.checksummer()->Summed();
  return status;
}

std::vector<protocol::ServedLayer> LayersOf(const LayerSet& layers) {
  std::vector<protocol::ServedLayer> served;
  for (LayerIndex layer = 0; layer < layers.size(); ++layer) {
    const std::string& path = layers[layer].path;
    // The mount itself covers the directory that it is mounted over.
    if (path.empty() || path[0] != '/') continue;
    struct stat st {};  // stays empty if the file system has failed
    const auto now = StatFd(layers[layer].root.get());
    if (now) st = *now;
    std::error_code ignored;
    const std::string place = std::filesystem::read_symlink(ProcPath(layers[layer].root.get()), ignored).string();
    const std::string what = IsTier(layer) ? "tier " + std::to_string(NumberOf(TierOf(layer))) : "lower layer";
    served.push_back({what, path, st.st_dev, st.st_ino, now && now->st_nlink == 0, place});
  }
  return served;
}

tl::unexpected<std::string> NoHistory(const Served& served) {
  return tl::unexpected("this mount keeps no history of tier 1: " +
                        (served.config.version ? "it is mounted read-only" : "its config " + served.config.file + " has no [version]"));
}

tl::unexpected<std::string> NoSnapshots(const Served& served) {
  return tl::unexpected("this mount makes no snapshots: its config " + served.config.file + " has no [snapshot]");
}

protocol::DaemonStatus StatusOf(const Served& served) {
  const MountFacts facts = served.mount.Facts();
  const Tree::Counters counters = served.tree.Count();
  protocol::DaemonStatus status;
  status.name = served.config.name;
  status.config = served.config.file;
  status.mountpoint = served.mountpoint;
  status.pid = ::getpid();
  status.version = TIERFS_VERSION;
  status.libfuse = facts.libfuse;
  status.transport = facts.transport;
  status.transport_reason = facts.transport_reason;
  status.passthrough = facts.passthrough;
  status.passthrough_reason = facts.passthrough_reason;
  status.nodes = counters.nodes;
  status.open_handles = counters.open.handles;
  status.passthrough_handles = counters.open.passthrough;
  status.settling = served.tree.settle_queue().Pending();
  status.requests = served.mount.counters().Read();
  status.waiting_for_close = served.tree.settle_queue().WaitingForClose();
  status.rules = served.tree.classifier().CurrentPolicy()->rules().size();
  status.layers = LayersOf(served.tree.layers());
  status.catalogue = CatalogueStatusOf(served.catalog);
  if (served.history != nullptr) status.history = served.history->Now();
  if (served.snapshots != nullptr) status.snapshot = served.snapshots->Now();
  return status;
}

}  // namespace

ControlHandlers VerbsOf(const Served& served) {
  ControlHandlers verbs;
  verbs.On<protocol::Status>([served](const protocol::Status&) -> Answer<protocol::Status> { return StatusOf(served); });
  verbs.On<protocol::Settle>([served](const protocol::Settle& request) { return served.settle_job.Run(request); });
  verbs.On<protocol::ReportSettling>(
      [served](const protocol::ReportSettling&) -> Answer<protocol::ReportSettling> { return served.settle_job.Report(); });
  verbs.On<protocol::CancelSettling>(
      [served](const protocol::CancelSettling&) -> Answer<protocol::CancelSettling> { return served.settle_job.Cancel(); });
  verbs.On<protocol::Reload>([served](const protocol::Reload& request) { return served.policy.Reload(request); });
  verbs.On<protocol::Seal>([served](const protocol::Seal&) { return Seal(served.catalog); });
  verbs.On<protocol::WriteBack>(
      [served](const protocol::WriteBack&) -> Answer<protocol::WriteBack> { return protocol::WrittenBack{served.tree.WriteBackMapped()}; });
  verbs.On<protocol::Rescan>([served](const protocol::Rescan&) { return Rescan(served.catalog, served.tree); });
  verbs.On<protocol::Commit>([served](const protocol::Commit&) -> Answer<protocol::Commit> {
    if (served.history == nullptr) return NoHistory(served);
    return served.history->CommitNow();
  });
  verbs.On<protocol::Push>([served](const protocol::Push&) -> Answer<protocol::Push> {
    if (served.history == nullptr) return NoHistory(served);
    return served.history->PushNow();
  });
  verbs.On<protocol::ReloadGate>([served](const protocol::ReloadGate& request) -> Answer<protocol::ReloadGate> {
    if (served.history == nullptr) return NoHistory(served);
    return served.history->ReloadGate(request.paths);
  });
  verbs.On<protocol::CreateSnapshot>([served](const protocol::CreateSnapshot& request) -> Answer<protocol::CreateSnapshot> {
    if (served.snapshots == nullptr) return NoSnapshots(served);
    return served.snapshots->Create(request);
  });
  verbs.On<protocol::DeleteSnapshot>([served](const protocol::DeleteSnapshot&) -> Answer<protocol::DeleteSnapshot> {
    if (served.snapshots == nullptr) return NoSnapshots(served);
    return served.snapshots->Delete();
  });
  verbs.On<protocol::ShowSnapshot>([served](const protocol::ShowSnapshot&) -> Answer<protocol::ShowSnapshot> {
    if (served.snapshots == nullptr) return NoSnapshots(served);
    return served.snapshots->Now();
  });
  return verbs;
}

}  // namespace tierfs
