#include "fs/daemon/settle_job.h"

#include <cstring>

namespace tierfs {
namespace {

protocol::Tally TallyOf(const Settling::Tally& tally) { return {tally.files, tally.bytes}; }

protocol::SettleReport Describe(const Settling& settling) {
  protocol::SettleReport report;
  for (int from = 0; from < kTierCount; ++from) {
    for (int to = 0; to < kTierCount; ++to) {
      const auto tally = TallyOf(settling.moved[static_cast<std::size_t>(from)][static_cast<std::size_t>(to)]);
      if (tally.files == 0) continue;
      report.moved += tally.files;
      report.bytes += tally.bytes;
      report.moves.push_back({from + 1, to + 1, tally.files, tally.bytes});
    }
  }
  report.seen = settling.seen;
  report.waiting = TallyOf(settling.waiting);
  report.linked = TallyOf(settling.linked);
  report.failed = settling.failed;
  report.cancelled = settling.cancelled;
  return report;
}

}  // namespace

Answer<protocol::Settle> SettleJob::Run(const protocol::Settle& request) {
  const auto settling = std::make_shared<Settling>();
  {
    const Lock lock(mutex_);
    if (running_) return tl::unexpected(std::string("another settling is under way"));
    running_ = settling;
  }
  const Status settled = settlement_.Settle(request.path, request.dry_run, *settling);
  {
    const Lock lock(mutex_);
    running_.reset();
  }
  if (!settled) return tl::unexpected(std::string(settled.error().step) + ": " + std::strerror(settled.error().code));
  return Describe(*settling);
}

protocol::SettleReport SettleJob::Report() const {
  const Lock lock(mutex_);
  if (!running_) return {};
  protocol::SettleReport report = Describe(*running_);
  report.running = true;
  return report;
}

protocol::SettleReport SettleJob::Cancel() {
  const Lock lock(mutex_);
  if (running_) running_->cancelled = true;
  protocol::SettleReport report;
  report.running = running_ != nullptr;
  return report;
}

}  // namespace tierfs
