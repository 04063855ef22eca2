// Lists and syncs directories that are merged from several parts.
#include <fcntl.h>
#include <unistd.h>

#include <unordered_map>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/list_dir.h"
#include "fs/tier/merge_rule.h"
#include "fs/tree/merged_view.h"

namespace tierfs {
namespace {

// Merges the listings of the parts of a directory.
class MergedListing {
 public:
  // `merging`: whether a name may occur more than once.
  MergedListing(const LayerSet& layers, NodeTable& nodes, bool merging) : layers_(layers), nodes_(nodes), merging_(merging) {}

  [[nodiscard]] Status Add(LayerIndex layer, int dir) {
    TIERFS_ASSIGN(const struct stat st, StatFd(dir));
    return ForEachEntry(dir, [&](const dirent64& raw) -> Status {
      unsigned char type = raw.d_type;
      Held held = type == DT_DIR ? Held::kDirectory : Held::kOther;
      if (type == DT_CHR || type == DT_UNKNOWN) {
        const auto entry = StatEntry(dir, raw.d_name);
        if (!entry) return entry.error().code == ENOENT ? Status{} : tl::unexpected(entry.error());
        type = IFTODT(entry->st_mode);
        held = HeldAs(*entry);
      }
      if (!Shows(layer, raw.d_name, held)) return {};
      struct stat key = st;
      key.st_ino = raw.d_ino;
      entries_.push_back(DirectoryEntry{raw.d_name, nodes_.NumberOf(layers_.KeyOf(layer, key)), type});
      return {};
    });
  }

  // Prepares for another pass over all the parts, after the part in `only` if there was but one: a
  // name may occur more than once from now on. What the first pass found stays, because a file may
  // move during either of them. Names that a whiteout hid are searched anew, because a moving file
  // may show at them.
  void BeginMerging(LayerIndex only) {
    for (std::size_t i = 0; !merging_ && i < entries_.size(); ++i) {
      Name& name = names_[entries_[i].name];
      name.rule.Take(only, entries_[i].type == DT_DIR ? Held::kDirectory : Held::kOther);
      name.index = i;
    }
    merging_ = true;
    std::erase_if(names_, [](const auto& each) { return !each.second.rule.Shows(); });
  }

  [[nodiscard]] std::vector<DirectoryEntry>& entries() { return entries_; }
  // The indexes of the entries that tiers hold in different ways. The class decides which one
  // shows.
  [[nodiscard]] const std::vector<std::size_t>& contested() const { return contested_; }

 private:
  struct Name {
    MergeRule rule;  // all parts in the order of their layers
    std::size_t index = 0;
  };

  // Whether to list the entry: the name shows, and is not listed yet.
  [[nodiscard]] bool Shows(LayerIndex layer, const char* entry, Held held) {
    if (!merging_) return held != Held::kWhiteout;
    Name& name = names_[entry];
    const LayerMask before = name.rule.parts();
    const bool was_directory = name.rule.ShowsDirectory();
    name.rule.Take(layer, held);
    if (before.Empty()) {
      name.index = entries_.size();
      return name.rule.Shows();
    }
    const bool same = before.Has(layer) || held == Held::kWhiteout || (was_directory && held == Held::kDirectory);
    if (IsTier(layer) && !same) contested_.push_back(name.index);
    return false;
  }

  const LayerSet& layers_;
  NodeTable& nodes_;
  bool merging_;
  std::vector<DirectoryEntry> entries_;
  std::unordered_map<std::string, Name> names_;
  std::vector<std::size_t> contested_;
};

}  // namespace

Result<std::vector<DirectoryEntry>> MergedView::ListParts(const NodePtr& directory, LayerMask parts) {
  const std::uint64_t before = relocations_.Count();
  // The directory may have gained a part, and a file moved there, since the caller looked.
  const auto with_new_parts = [&] { return LayerMask(parts.bits() | directory->Parts().InTiers().bits()); };
  parts = with_new_parts();
  MergedListing listing(layers_, nodes_, !parts.Single());
  const auto add = [&](LayerMask layers) -> Status {
    for (const LayerIndex layer : layers) {
      const auto opened = directories_.Open(directory, layer);
      if (!opened && opened.error().code == ENOENT) continue;  // a part that was removed underneath
      if (!opened) return tl::unexpected(opened.error());
      TIERFS_ASSIGN(const UniqueFd dir, OpenEntry((**opened).get(), ".", O_RDONLY | O_DIRECTORY));
      TIERFS_TRY(listing.Add(layer, dir.get()));
    }
    return {};
  };
  TIERFS_TRY(add(parts));
  if (!relocations_.NoneSince(before)) {
    // A file may have moved from a part not listed yet to a tier that was listed already, or that
    // is a new part. All parts are therefore listed again and merged.
    listing.BeginMerging(parts.First());
    TIERFS_TRY(add(with_new_parts()));
  }
  for (const std::size_t index : listing.contested()) {
    DirectoryEntry& entry = listing.entries()[index];
    TIERFS_ASSIGN(const Found found, FindOnce(directory, entry.name.c_str()));
    if (!found.Exists()) continue;
    entry.ino = nodes_.NumberOf(found.key);
    entry.type = IFTODT(found.st.st_mode);
  }
  return std::move(listing.entries());
}

Result<std::vector<DirectoryEntry>> MergedView::List(NodeId id) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr directory, DirectoryOf(nodes_, id));
  const NodePtr parent = directory == nodes_.root() ? directory : nodes_.PlaceOf(*directory).parent;
  // A directory that was removed while open lists nothing.
  if (!parent) return std::vector<DirectoryEntry>{};
  std::vector<DirectoryEntry> entries{{".", directory->ino, DT_DIR}, {"..", parent->ino, DT_DIR}};
  TIERFS_ASSIGN(auto content, ListParts(directory, directory->Parts()));
  entries.insert(entries.end(), std::make_move_iterator(content.begin()), std::make_move_iterator(content.end()));
  return entries;
}

Status MergedView::SyncDirectory(NodeId id) {
  const ReadLock topology(topology_);
  TIERFS_ASSIGN(const NodePtr directory, DirectoryOf(nodes_, id));
  TIERFS_ASSIGN(const auto parts, directories_.OpenTierParts(directory));
  for (const UniqueFd& part : parts) TIERFS_TRY(Sync(part.get()));
  return {};
}

}  // namespace tierfs
