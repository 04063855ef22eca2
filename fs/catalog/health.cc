#include "fs/catalog/health.h"

#include <spdlog/spdlog.h>

namespace tierfs {

void Health::Trouble(const std::string& text) {
  const std::lock_guard lock(mutex_);
  if (trouble_ == text) return;
  trouble_ = text;
  spdlog::error("catalogue: {}", text);
}

void Health::Recovered() {
  const std::lock_guard lock(mutex_);
  if (trouble_.empty()) return;
  spdlog::info("catalogue: works again");
  trouble_.clear();
}

void Health::Note(const std::string& text) {
  const std::lock_guard lock(mutex_);
  notes_.push_back(text);
  spdlog::warn("catalogue: {}", text);
}

std::string Health::CurrentTrouble() const {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

std::vector<std::string> Health::Notes() const {
  const std::lock_guard lock(mutex_);
  return notes_;
}

}  // namespace tierfs
