#include "fs/catalog/health.h"

#include <spdlog/spdlog.h>

namespace tierfs {

void Health::Trouble(Of what, const std::string& text) {
  const Lock lock(mutex_);
  std::string& trouble = troubles_.at(static_cast<std::size_t>(what));
  if (trouble == text) return;
  trouble = text;
  spdlog::error("catalogue: {}", text);
}

void Health::Recovered(Of what) {
  const Lock lock(mutex_);
  std::string& trouble = troubles_.at(static_cast<std::size_t>(what));
  if (trouble.empty()) return;
  spdlog::info("catalogue: {} works again", what == Of::kFeed ? "the change feed" : "the database");
  trouble.clear();
}

void Health::Note(const std::string& text) {
  const Lock lock(mutex_);
  notes_.push_back(text);
  spdlog::warn("catalogue: {}", text);
}

std::string Health::CurrentTrouble() const {
  const Lock lock(mutex_);
  for (const std::string& trouble : troubles_) {
    if (!trouble.empty()) return trouble;
  }
  return "";
}

std::vector<std::string> Health::Notes() const {
  const Lock lock(mutex_);
  return notes_;
}

}  // namespace tierfs
