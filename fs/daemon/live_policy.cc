#include "fs/daemon/live_policy.h"

#include <spdlog/spdlog.h>

namespace tierfs {

Answer<protocol::Reload> LivePolicy::Reload(const protocol::Reload& request) {
  const Lock lock(mutex_);
  const auto policy = request.policy.empty() ? LoadPolicy(config_) : LoadPolicy(config_, request.policy);
  if (!policy.policy) return tl::unexpected(FirstErrorOf(policy) + "; the old policy stays");
  if (!request.dry_run) {
    classifier_.SetPolicy(policy.policy);
    spdlog::info("policy reloaded, {} rules", policy.policy->rules().size());
  }
  return protocol::Reloaded{policy.policy->rules().size(), !request.dry_run};
}

tl::expected<void, std::string> LivePolicy::ApplyGate() {
  const Lock lock(mutex_);
  const auto policy = WithGateRules(config_, *classifier_.CurrentPolicy());
  if (!policy.policy) return tl::unexpected(FirstErrorOf(policy));
  classifier_.SetPolicy(policy.policy);
  return {};
}

}  // namespace tierfs
