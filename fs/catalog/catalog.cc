#include "fs/catalog/catalog.h"

namespace tierfs {
namespace {

constexpr auto kSumBudget = std::chrono::seconds(2);

}  // namespace

Catalog::Catalog(const std::string& state_dir) : database_(state_dir, health_), journal_(database_) {
  database_.OnRenewed([this] {
    journal_.CarryOver();
    if (feed_) feed_->Renewed();
  });
}

Catalog::Catalog(const std::string& state_dir, FeedOptions options) : Catalog(state_dir) {
  if (options.trees.empty()) return;
  LayerMask summed;
  for (const auto& [tier, tree] : options.trees) {
    if (tier < LayerOf(TierId::kState)) summed = summed.With(tier);
  }
  feed_ = std::make_unique<ChangeFeed>(database_, health_, std::move(options));
  checksummer_ = std::make_unique<Checksummer>(*feed_, summed);
}

Catalog::~Catalog() { Stop(); }

void Catalog::Start() {
  if (!feed_) return;
  feed_->Start();
  checksummer_->Start();
}

void Catalog::Stop() {
  if (!feed_) return;
  checksummer_->Stop();
  feed_->Stop();
}

Result<Token> Catalog::Seal() {
  if (!feed_) return Fail(ENOTSUP, "this mount has no change feed");
  TIERFS_TRY(feed_->Drain());
  checksummer_->SumStale(kSumBudget);
  return feed_->Seal();
}

}  // namespace tierfs
