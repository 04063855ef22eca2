#include "fs/tree/lower_links.h"

#include <algorithm>

#include "fs/tier/walk.h"

namespace tierfs {

Result<std::vector<std::string>> LowerLinks::NamesOf(LayerIndex layer, const struct stat& st) {
  const Lock lock(mutex_);
  if (walked_.count(st.st_dev) == 0) {
    TIERFS_ASSIGN(Index index, Walk(st.st_dev));
    names_.merge(index);
    walked_.insert(st.st_dev);
  }
  const auto found = names_.find(layers_.KeyOf(layer, st));
  return found == names_.end() ? std::vector<std::string>{} : found->second;
}

Result<LowerLinks::Index> LowerLinks::Walk(dev_t device) const {
  Index index;
  for (const LayerIndex layer : layers_.All().InLower()) {
    const auto visit = [&](const WalkedEntry& entry) {
      if (S_ISDIR(entry.st.st_mode) || entry.st.st_nlink < 2 || entry.st.st_dev != device) return;
      std::vector<std::string>& names = index[layers_.KeyOf(layer, entry.st)];
      if (std::find(names.begin(), names.end(), entry.path) == names.end()) names.push_back(entry.path);
    };
    // Other file systems, such as /proc, are not entered.
    const auto enter = [&](const WalkedEntry& entry) { return entry.st.st_dev == device || entry.st.st_dev == layers_[layer].device; };
    TIERFS_TRY(WalkTree(layers_[layer].root.get(), visit, enter));
  }
  return index;
}

void LowerLinks::Forget() {
  const Lock lock(mutex_);
  names_.clear();
  walked_.clear();
}

}  // namespace tierfs
