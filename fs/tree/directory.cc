// Listing and syncing directories that are unions.
#include <fcntl.h>
#include <unistd.h>

#include <unordered_map>

#include "fs/os/beneath.h"
#include "fs/os/list_dir.h"
#include "fs/tier/entry.h"
#include "fs/tree/tree.h"

namespace tierfs {

Result<std::vector<DirectoryEntry>> Tree::List(NodeId id) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr directory, GetDirectory(id));
  const NodePtr parent = directory == nodes_.root() ? directory : nodes_.PlaceOf(*directory).parent;
  // A directory that was removed while open lists nothing.
  if (!parent) return std::vector<DirectoryEntry>{};
  std::vector<DirectoryEntry> entries{{".", directory->ino, DT_DIR}, {"..", parent->ino, DT_DIR}};
  TIERFS_ASSIGN(auto content, ListParts(directory, directory->Parts()));
  entries.insert(entries.end(), std::make_move_iterator(content.begin()), std::make_move_iterator(content.end()));
  return entries;
}

Result<std::vector<DirectoryEntry>> Tree::ListParts(const NodePtr& directory, LayerMask parts) {
  // Where a name was first met decides, unless a later tier is its class: then the entry that a lookup would find is listed.
  struct Listed {
    std::size_t index;
    LayerIndex layer;
    bool is_dir;
  };
  std::vector<DirectoryEntry> entries;
  std::unordered_map<std::string, Listed> seen;
  std::unordered_map<std::string, bool> whited_out;
  bool merging = !parts.Single();
  const bool over_lower = !parts.InLower().Empty();

  const auto list = [&](LayerIndex layer) -> Status {
    auto opened = OpenDir(directory, layer);
    if (!opened && opened.error().code == ENOENT) return {};  // a part that was removed underneath
    if (!opened) return tl::unexpected(opened.error());
    TIERFS_ASSIGN(const UniqueFd dir, OpenEntry((**opened).get(), ".", O_RDONLY | O_DIRECTORY));
    struct stat dir_stat {};
    TIERFS_ASSIGN(dir_stat, StatFd(dir.get()));
    return ForEachEntry(dir.get(), [&](const dirent64& raw) -> Status {
      std::string name = raw.d_name;
      unsigned char type = raw.d_type;
      if (type == DT_CHR || type == DT_UNKNOWN) {
        const auto st = StatEntry(dir.get(), raw.d_name);
        if (!st) return st.error().code == ENOENT ? Status{} : tl::unexpected(st.error());
        if (IsWhiteout(*st)) {
          if (over_lower) whited_out.emplace(std::move(name), true);
          return {};
        }
        type = IFTODT(st->st_mode);
      }
      if (!IsTier(layer) && whited_out.count(name) != 0) return {};
      struct stat key_stat = dir_stat;
      key_stat.st_ino = raw.d_ino;
      const auto number = [&] { return nodes_.NumberOf(layers_.KeyOf(layer, key_stat)); };
      if (merging) {
        const auto [at, fresh] = seen.try_emplace(name, Listed{entries.size(), layer, type == DT_DIR});
        if (!fresh) {
          if (!IsTier(layer) || (at->second.is_dir && type == DT_DIR)) return {};
          if (LayerOf(DecisionFor(directory, name, false).tier) != layer) return {};
          entries[at->second.index].ino = number();
          entries[at->second.index].type = type;
          return {};
        }
      }
      entries.push_back(DirectoryEntry{std::move(name), number(), type});
      return {};
    });
  };
  const std::uint64_t before = moves_.Count();
  for (const LayerIndex layer : parts) TIERFS_TRY(list(layer));
  if (moves_.NoneSince(before)) return entries;
  // A file may have gone to a tier that was listed already, or is a new part, from one that was not: what is there now is added.
  if (!merging) entries.clear();
  merging = true;
  for (const LayerIndex layer : LayerMask(parts.bits() | directory->Parts().InTiers().bits())) TIERFS_TRY(list(layer));
  return entries;
}

Status Tree::SyncDirectory(NodeId id) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr directory, GetDirectory(id));
  for (const LayerIndex layer : directory->Parts().InTiers()) {
    TIERFS_ASSIGN(const DirFd dir, OpenDir(directory, layer));
    TIERFS_ASSIGN(const UniqueFd real, OpenEntry((*dir).get(), ".", O_RDONLY | O_DIRECTORY));
    if (::fsync(real.get()) != 0) return FailErrno("fsync of a directory");
  }
  return {};
}

}  // namespace tierfs
