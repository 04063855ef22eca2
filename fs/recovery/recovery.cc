#include "fs/recovery/recovery.h"

#include <spdlog/spdlog.h>

#include <cstring>

#include "fs/recovery/interrupted.h"
#include "fs/tier/steps.h"

namespace tierfs {

void HealTrees(const LayerSet& layers) {
  const auto finished = FinishInterrupted(layers);
  if (!finished) {
    spdlog::error("cannot repair the trees after the last daemon was killed: {}: {}", finished.error().step,
                  std::strerror(finished.error().code));
  } else if (*finished > 0) {
    spdlog::warn("the last daemon was killed: repaired {} entries", *finished);
  }
}

tl::expected<void, WorkProblem> PrepareWorkDirectories(LayerSet& layers, const std::string& state) {
  if (!layers.MakesCopies()) return {};
  for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
    if (const Status ready = layers.PrepareWork(tier, state); !ready) return tl::unexpected(WorkProblem{tier, ready.error()});
  }
  return {};
}

std::vector<SettleTask> FinishIntents(const LayerSet& layers, Journal& journal) {
  std::vector<SettleTask> to_settle;
  const auto intents = journal.Open();
  if (!intents) return to_settle;  // the catalogue's health reports the failure
  bool all_finished = true;
  for (const auto& [id, intent] : *intents) {
    if (!intent.steps.empty() && intent.steps[0].kind == Step::Kind::kSettle) {
      to_settle.push_back(SettleTask{intent.steps[0].path, id});
      continue;
    }
    const Status finished = FinishIntent(layers, intent);
    if (finished) {
      spdlog::info("{}: was interrupted; it is now finished or undone", intent.what);
      journal.Finish(id);
    } else {
      all_finished = false;
      spdlog::error("{}: was interrupted and cannot be finished: {} ({})", intent.what, std::strerror(finished.error().code),
                    finished.error().step);
    }
  }
  if (!all_finished) return to_settle;
  if (const Status emptied = layers.EmptyWork(); !emptied) {
    spdlog::error("cannot remove unpublished copies: {} ({})", std::strerror(emptied.error().code), emptied.error().step);
  }
  return to_settle;
}

}  // namespace tierfs
