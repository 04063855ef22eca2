#include "fs/tier/layer.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/os/mounts.h"

namespace tierfs {
namespace {

// Opens the directory `name` in `parent`, and makes it if it is missing.
Result<UniqueFd> OpenOrMake(int parent, const char* name) {
  if (const Status made = MakeDirectoryEntry(parent, name, 0700); !made && made.error().code != EEXIST) return tl::unexpected(made.error());
  return OpenEntry(parent, name, O_RDONLY | O_DIRECTORY);
}

}  // namespace

Result<LayerSet> LayerSet::Open(const std::vector<std::string>& tiers, const std::vector<std::string>& lower, UniqueFd over, Aside aside) {
  LayerSet set;
  const auto add = [&set, aside](const std::string& path, UniqueFd root) -> Status {
    UniqueFd clone;
    if (aside.noatime || (aside.if_possible && set.layers_.size() < kTierCount)) {
      auto made = ClonePrivate(root.get(), aside.noatime);
      // Without it a snapshot cannot hold writes, and says so.
      if (!made && aside.noatime) return tl::unexpected(made.error());
      if (made) clone = std::move(*made);
    }
    TIERFS_ASSIGN(const struct stat st, StatFd(root.get()));
    TIERFS_ASSIGN(const std::uint64_t mount, MountOf(root.get()));
    auto file_system = static_cast<std::uint32_t>(set.layers_.size());
    for (const Layer& other : set.layers_) {
      if (other.device == st.st_dev) file_system = std::min(file_system, other.file_system);
    }
    set.layers_.push_back(Layer{path, std::move(root), st.st_dev, mount, file_system, {}, std::move(clone), aside.noatime});
    return {};
  };
  for (const auto* paths : {&tiers, &lower}) {
    for (const std::string& path : *paths) {
      TIERFS_ASSIGN(UniqueFd root, OpenDirectory(path, O_PATH));
      TIERFS_TRY(add(path, std::move(root)));
    }
  }
  if (over) TIERFS_TRY(add("(the directory mounted over)", std::move(over)));
  return set;
}

bool LayerSet::MakesCopies() const {
  if (size() > kTierCount) return true;
  for (LayerIndex tier = 1; tier < kTierCount; ++tier) {
    if (!SameMount(0, tier)) return true;
  }
  return false;
}

Status LayerSet::PrepareWork(LayerIndex tier, const std::string& state) {
  Layer& layer = layers_[tier];
  const std::filesystem::path tree(layer.path);
  const std::pair<std::string, std::string> places[] = {{state, "work"},
                                                        {tree.parent_path(), "." + tree.filename().string() + ".tierfs-work"}};
  for (const auto& [directory, name] : places) {
    TIERFS_ASSIGN(const UniqueFd parent, OpenDirectory(directory, O_PATH));
    TIERFS_ASSIGN(const struct stat st, StatFd(parent.get()));
    TIERFS_ASSIGN(const std::uint64_t mount, MountOf(parent.get()));
    if (mount != layer.mount || st.st_dev != layer.device) continue;
    const bool in_state = directory == state;
    const auto shares = std::find_if(layers_.begin(), layers_.begin() + tier,
                                     [&](const Layer& other) { return in_state && other.work && other.mount == mount; });
    if (shares != layers_.begin() + tier) {
      TIERFS_ASSIGN(layer.work, Duplicate(shares->work.get()));
      return {};
    }
    TIERFS_ASSIGN(layer.work, OpenOrMake(parent.get(), name.c_str()));
    return {};
  }
  return Fail(EXDEV, "nothing is beside the root of a mount");
}

Status LayerSet::EmptyWork() const {
  Status outcome;
  for (const Layer& layer : layers_) {
    if (!layer.work) continue;
    TIERFS_ASSIGN(const UniqueFd work, OpenEntry(layer.work.get(), ".", O_RDONLY | O_DIRECTORY));
    TIERFS_TRY(ForEachEntry(work.get(), [&](const dirent64& entry) -> Status {
      Status removed = RemoveEntry(work.get(), entry.d_name);
      if (!removed && removed.error().code == EPERM) {
        DropProtection(work.get(), entry.d_name);
        removed = RemoveEntry(work.get(), entry.d_name);
      }
      if (!removed && outcome) outcome = removed;
      return {};
    }));
  }
  return outcome;
}

BackingKey LayerSet::KeyOf(LayerIndex layer, const struct stat& st) const {
  const Layer& home = layers_[layer];
  if (st.st_dev == home.device) return BackingKey{home.file_system, st.st_ino};
  for (const Layer& other : layers_) {
    if (other.device == st.st_dev) return BackingKey{other.file_system, st.st_ino};
  }
  // A mount or a btrfs subvolume beneath the layer: the device number of its root keeps its keys
  // apart from those of the layer. The keys need to be unique only within the life of this mount.
  return BackingKey{0x10000U + static_cast<std::uint32_t>(st.st_dev), st.st_ino};
}

}  // namespace tierfs
