#include "fs/daemon/settle_job.h"

#include <cstring>

namespace tierfs {
namespace {

nlohmann::json TallyJson(const Settling::Tally& tally) { return {{"files", tally.files.load()}, {"bytes", tally.bytes.load()}}; }

nlohmann::json Describe(const Settling& settling) {
  nlohmann::json moves = nlohmann::json::array();
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  for (int from = 0; from < kTierCount; ++from) {
    for (int to = 0; to < kTierCount; ++to) {
      const auto& tally = settling.moved[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)];
      if (tally.files == 0) continue;
      files += tally.files;
      bytes += tally.bytes;
      moves.push_back({{"from", from + 1}, {"to", to + 1}, {"files", tally.files.load()}, {"bytes", tally.bytes.load()}});
    }
  }
  return {{"moves", moves},
          {"moved", files},
          {"bytes", bytes},
          {"seen", settling.seen.load()},
          {"waiting", TallyJson(settling.waiting)},
          {"linked", TallyJson(settling.linked)},
          {"failed", settling.failed.load()},
          {"cancelled", settling.cancelled.load()}};
}

}  // namespace

nlohmann::json SettleJob::Run(const nlohmann::json& request) {
  const auto settling = std::make_shared<Settling>();
  {
    const Lock lock(mutex_);
    if (running_) return {{"ok", false}, {"error", "a settling that somebody else asked for is under way"}};
    running_ = settling;
  }
  const Status settled = tree_.settlement().Settle(request.value("path", ""), request.value("dry_run", false), *settling);
  {
    const Lock lock(mutex_);
    running_.reset();
  }
  if (!settled) return {{"ok", false}, {"error", std::string(settled.error().step) + ": " + std::strerror(settled.error().code)}};
  return Describe(*settling);
}

nlohmann::json SettleJob::Report() const {
  const Lock lock(mutex_);
  if (!running_) return {{"running", false}};
  nlohmann::json report = Describe(*running_);
  report["running"] = true;
  return report;
}

nlohmann::json SettleJob::Cancel() {
  const Lock lock(mutex_);
  if (running_) running_->cancelled = true;
  return {{"running", running_ != nullptr}};
}

}  // namespace tierfs
