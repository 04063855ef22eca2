#include "fs/daemon/catalog_verbs.h"

#include <cstring>

namespace tierfs {
namespace {

nlohmann::json Refusal(const Catalog& catalog, const Error& error) {
  const std::string trouble = catalog.health().CurrentTrouble();
  return {{"ok", false}, {"error", trouble.empty() ? std::string(error.step) + ": " + std::strerror(error.code) : trouble}};
}

nlohmann::json Seal(Catalog& catalog) {
  if (catalog.feed() == nullptr) return {{"ok", false}, {"error", "this mount records no changes: its config says feed = []"}};
  const auto token = catalog.Settle();
  if (!token) return Refusal(catalog, token.error());
  return {{"token", token->Render()}, {"database", catalog.database().path()}};
}

nlohmann::json Rescan(Catalog& catalog, Tree& tree) {
  nlohmann::json answer = {{"nodes", tree.DropCaches()}, {"differed", 0}};
  if (catalog.feed() == nullptr) return answer;
  const auto differed = catalog.feed()->Rescan();
  if (!differed) return Refusal(catalog, differed.error());
  answer["differed"] = *differed;
  return answer;
}

}  // namespace

std::map<std::string, ControlHandler> CatalogVerbs(Catalog& catalog, Tree& tree) {
  return {{"seal", [&catalog](const nlohmann::json&) { return Seal(catalog); }},
          {"rescan", [&catalog, &tree](const nlohmann::json&) { return Rescan(catalog, tree); }}};
}

nlohmann::json CatalogStatus(Catalog& catalog) {
  nlohmann::json status = {
      {"trouble", catalog.health().CurrentTrouble()}, {"notes", catalog.health().Notes()}, {"open_intents", catalog.journal().UnderWay()}};
  ChangeFeed* feed = catalog.feed();
  status["feed"] = feed != nullptr;
  if (feed == nullptr) return status;
  const ChangeFeed::State now = feed->Now();
  status["comparing"] = now.comparing;
  status["compared"] = now.compared;
  status["waiting"] = now.waiting;
  status["overflows"] = now.overflows;
  status["checksums"] = catalog.checksummer()->Summed();
  return status;
}

}  // namespace tierfs
