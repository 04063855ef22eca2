#include "fs/recovery/interrupted.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"
#include "fs/tier/entry.h"

namespace tierfs {
namespace {

class Finisher {
 public:
  explicit Finisher(const LayerSet& layers) : layers_(layers) {}

  Status Tier(LayerIndex tier) {
    tier_ = tier;
    TIERFS_ASSIGN(const UniqueFd root, OpenEntry(layers_[tier].root.get(), ".", O_RDONLY | O_DIRECTORY));
    return Directory(root.get(), "");
  }
  [[nodiscard]] std::size_t finished() const { return finished_; }

 private:
  Status Directory(int directory, const std::string& path) {
    std::vector<std::string> beneath;
    std::vector<std::string> devices;
    TIERFS_TRY(ForEachEntry(directory, [&](const dirent64& entry) -> Status {
      if (entry.d_type == DT_DIR || entry.d_type == DT_UNKNOWN) beneath.emplace_back(entry.d_name);
      if (entry.d_type == DT_CHR || entry.d_type == DT_UNKNOWN) devices.emplace_back(entry.d_name);
      return {};
    }));
    for (const std::string& name : devices) {
      TIERFS_ASSIGN(const struct stat st, StatEntry(directory, name.c_str()));
      if (!IsWhiteout(st) || !StandsElsewhere(path, name)) continue;
      TIERFS_TRY(RemoveEntry(directory, name.c_str()));
      ++finished_;
    }
    for (const std::string& name : beneath) {
      auto opened = OpenEntry(directory, name.c_str(), O_RDONLY | O_DIRECTORY);
      if (!opened && opened.error().code == ENOTDIR) continue;
      if (!opened) return tl::unexpected(opened.error());
      const std::string below = JoinPath(path, name);
      TIERFS_ASSIGN(const struct stat st, StatFd(opened->get()));
      if (IsUnfinishedDir(st)) TIERFS_TRY(Finish(opened->get(), below));
      TIERFS_TRY(Directory(opened->get(), below));
    }
    return {};
  }

  // Whether another tier holds a file of this name. Such a file hides lower entries without the
  // whiteout.
  [[nodiscard]] bool StandsElsewhere(const std::string& path, const std::string& name) const {
    for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
      if (tier == tier_) continue;
      const auto directory = OpenBeneath(layers_[tier].root.get(), path, O_PATH | O_DIRECTORY);
      const auto st = directory ? StatEntry(directory->get(), name.c_str()) : Result<struct stat>(tl::unexpected(directory.error()));
      if (st && !S_ISDIR(st->st_mode) && !IsWhiteout(*st)) return true;
    }
    return false;
  }

  Status Finish(int directory, const std::string& path) {
    for (LayerIndex layer = 0; layer < layers_.size(); ++layer) {
      const auto model = OpenBeneath(layers_[layer].root.get(), path, O_PATH | O_DIRECTORY);
      if (!model) continue;
      TIERFS_ASSIGN(const struct stat st, StatFd(model->get()));
      if (layer == tier_ || IsUnfinishedDir(st)) continue;
      ++finished_;
      return CloneAttributes(model->get(), st, directory);
    }
    return {};  // no finished part exists: a user chose this mode
  }

  const LayerSet& layers_;
  LayerIndex tier_ = 0;
  std::size_t finished_ = 0;
};

}  // namespace

Result<std::size_t> FinishInterrupted(const LayerSet& layers) {
  Finisher finisher(layers);
  for (LayerIndex tier = 0; tier < kTierCount; ++tier) TIERFS_TRY(finisher.Tier(tier));
  return finisher.finished();
}

}  // namespace tierfs
