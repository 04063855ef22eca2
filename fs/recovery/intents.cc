#include "fs/recovery/intents.h"

#include <spdlog/spdlog.h>

#include <cstring>

#include "fs/tier/steps.h"

namespace tierfs {

std::vector<SettleTask> FinishIntents(const LayerSet& layers, Journal& journal) {
  std::vector<SettleTask> to_settle;
  const auto intents = journal.Open();
  if (!intents) return to_settle;  // the catalogue's health says so
  for (const auto& [id, intent] : *intents) {
    if (!intent.steps.empty() && intent.steps[0].kind == Step::Kind::kSettle) {
      to_settle.push_back(SettleTask{intent.steps[0].path, id});
      continue;
    }
    const Status finished = FinishIntent(layers, intent);
    if (finished) {
      spdlog::info("{}: had been interrupted, is finished or undone", intent.what);
      journal.Finish(id);
    } else {
      spdlog::error("{}: had been interrupted and cannot be finished: {} ({})", intent.what, std::strerror(finished.error().code),
                    finished.error().step);
    }
  }
  return to_settle;
}

}  // namespace tierfs
