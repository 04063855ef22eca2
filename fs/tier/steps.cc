#include "fs/tier/steps.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>

#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/inode_identity.h"
#include "fs/os/paths.h"
#include "fs/tier/entry.h"
#include "fs/tier/whiteouts.h"

namespace tierfs {
namespace {

// Exchanges two entries and keeps the mtime of directories among them. XFS counts the new ".." of
// an exchanged directory as a change of its content. Other file systems do not, and for the user of
// the mount its content has not changed.
Status Exchange(int a_dir, const char* a_name, int b_dir, const char* b_name) {
  const auto a = StatEntry(a_dir, a_name);
  const auto b = StatEntry(b_dir, b_name);
  TIERFS_TRY(RenameEntry(a_dir, a_name, b_dir, b_name, RENAME_EXCHANGE));
  const auto keep_date = [](const Result<struct stat>& before, int dir, const char* name) {
    if (!before || !S_ISDIR(before->st_mode)) return;
    (void)ChangeEntryTimes(dir, name, {0, UTIME_OMIT}, before->st_mtim);
  };
  keep_date(a, b_dir, b_name);
  keep_date(b, a_dir, a_name);
  return {};
}

Status Remove(int dir, const char* name) {
  const Status removed = RemoveEntry(dir, name);
  if (removed || removed.error().code == ENOENT) return {};
  return removed.error().code == EISDIR ? RemoveEmptyPart(dir, name) : removed;
}

// The path of a step, with its parent directory open. `dir` is empty when the parent is gone.
struct Place {
  UniqueFd dir;
  std::string name;
};

Result<Place> OpenPlace(const LayerSet& layers, LayerIndex layer, const std::string& path) {
  auto dir = OpenBeneath(layers[layer].root.get(), ParentOf(path), O_PATH | O_DIRECTORY);
  if (!dir && dir.error().code == ENOENT) return Place{};
  if (!dir) return tl::unexpected(dir.error());
  return Place{std::move(*dir), NameOf(path)};
}

struct Places {
  Place at;
  Place to;
};

Result<Places> OpenPlaces(const LayerSet& layers, const Step& step) {
  Places places;
  if (step.kind == Step::Kind::kPublish && !layers[step.layer].work) {
    // The tiers are on one mount by now and need no work directory: the copy is gone.
    places.at = Place{};
  } else if (step.kind == Step::Kind::kPublish) {
    TIERFS_ASSIGN(UniqueFd work, Duplicate(layers[step.layer].work.get()));
    places.at = Place{std::move(work), step.path};
  } else {
    TIERFS_ASSIGN(places.at, OpenPlace(layers, step.layer, step.path));
  }
  if (!step.to.empty()) {
    TIERFS_ASSIGN(places.to, OpenPlace(layers, step.to_layer, step.to));
  }
  return places;
}

bool Holds(const Place& place, std::uint64_t identity) {
  if (!place.dir) return false;
  const auto there = InodeIdentity(place.dir.get(), place.name.c_str());
  return there && *there == identity;
}

bool PutsIntoPlace(Step::Kind kind) {
  return kind == Step::Kind::kPublish || kind == Step::Kind::kRename || kind == Step::Kind::kRenameWhiteout ||
         kind == Step::Kind::kExchange;
}

}  // namespace

Status Do(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name) {
  switch (kind) {
    case Step::Kind::kPublish:
    case Step::Kind::kRename:
      return RenameEntry(dir, name, to_dir, to_name, 0);
    case Step::Kind::kRenameWhiteout:
      return RenameEntry(dir, name, to_dir, to_name, RENAME_WHITEOUT);
    case Step::Kind::kExchange:
      return Exchange(dir, name, to_dir, to_name);
    case Step::Kind::kRemove:
      return Remove(dir, name);
    case Step::Kind::kWhiteout:
      return MakeWhiteout(dir, name);
    case Step::Kind::kSettle:
      return {};
  }
  return Fail(EINVAL, "unknown step");
}

Status Undo(Step::Kind kind, int dir, const char* name, int to_dir, const char* to_name) {
  switch (kind) {
    case Step::Kind::kRename:
      return RenameEntry(to_dir, to_name, dir, name, RENAME_NOREPLACE);
    case Step::Kind::kExchange:
      return Exchange(dir, name, to_dir, to_name);
    case Step::Kind::kWhiteout:
      return Remove(dir, name);
    case Step::Kind::kPublish:
      return Remove(to_dir, to_name);
    default:
      return Fail(ENOTSUP, "step back");
  }
}

Status FinishIntent(const LayerSet& layers, const Intent& intent) {
  bool begun = false;
  for (const Step& step : intent.steps) {
    if (step.layer >= layers.size() || step.to_layer >= layers.size()) return Fail(EINVAL, "intent of another set of layers");
    if (!PutsIntoPlace(step.kind)) continue;
    TIERFS_ASSIGN(const Places places, OpenPlaces(layers, step));
    begun = begun || Holds(places.to, step.inode);
  }
  if (!begun) return {};
  for (const Step& step : intent.steps) {
    TIERFS_ASSIGN(const Places places, OpenPlaces(layers, step));
    if (!places.at.dir) continue;
    // If another entry is at the name by now, this step was done, and the name used again, before
    // the daemon ended.
    if (step.kind == Step::Kind::kWhiteout) {
      const auto there = StatEntry(places.at.dir.get(), places.at.name.c_str());
      if (there || there.error().code != ENOENT) continue;
    } else if (!Holds(places.at, step.inode) || (PutsIntoPlace(step.kind) && !places.to.dir)) {
      continue;
    }
    TIERFS_TRY(Do(step.kind, places.at.dir.get(), places.at.name.c_str(), places.to.dir.get(), places.to.name.c_str()));
    TIERFS_TRY(SyncDirectory(places.at.dir.get()));
    if (places.to.dir) TIERFS_TRY(SyncDirectory(places.to.dir.get()));
  }
  return {};
}

}  // namespace tierfs
