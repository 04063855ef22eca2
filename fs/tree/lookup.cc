// Finding names: which layers hold an entry, and what they make together.
#include <fcntl.h>
#include <unistd.h>

#include <climits>

#include <cstring>

#include "fs/os/beneath.h"
#include "fs/os/keep_time.h"
#include "fs/tier/entry.h"
#include "fs/tier/whiteouts.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace {

// Of what was found: there is a directory in it, whose date is what a user may see.
constexpr auto kShowsDirectory = [](const auto& found) { return found && found->IsDir(); };

}  // namespace

// The class tier first, then the tiers by number, then the lower layers: the first that is not a directory wins; directories merge.
Result<Tree::Found> Tree::ResolveOnce(const NodePtr& parent, const char* name) {
  if (std::strlen(name) > NAME_MAX) return Fail(ENAMETOOLONG, "name");
  const LayerMask parts = parent->Parts();
  Found found;
  struct stat part_stats[kTierCount];
  LayerMask directories;
  bool file_hides_directories = false;

  const auto look = [&](LayerIndex layer, struct stat& st) -> Result<bool> {
    auto dir = OpenDir(parent, layer);
    // A part that was removed underneath holds nothing.
    if (!dir) return dir.error().code == ENOENT ? Result<bool>(false) : tl::unexpected(dir.error());
    if (::fstatat((**dir).get(), name, &st, AT_SYMLINK_NOFOLLOW) == 0) return true;
    if (errno == ENOENT || errno == ESTALE) return false;
    return FailErrno("fstatat");
  };
  // Takes one tier's answer; true when nothing else can matter any more.
  const auto take_tier = [&](LayerIndex layer) -> Result<bool> {
    struct stat& st = part_stats[layer];
    TIERFS_ASSIGN(const bool there, look(layer, st));
    if (!there) return false;
    if (IsWhiteout(st)) {
      found.whiteouts = found.whiteouts.With(layer);
    } else if (S_ISDIR(st.st_mode)) {
      directories = directories.With(layer);
    } else if (directories.Empty()) {
      const LayerMask whiteouts = found.whiteouts;
      found = FoundAt(layer, st);
      found.whiteouts = whiteouts;
      return true;
    } else {
      file_hides_directories = true;
    }
    return false;
  };

  LayerIndex class_layer = kNoLayer;
  if (!parts.InTiers().Single()) {
    class_layer = LayerOf(DecisionFor(parent, name, false).tier);
    if (parts.Has(class_layer)) {
      TIERFS_ASSIGN(const bool done, take_tier(class_layer));
      if (done) return found;
    }
  }
  for (const LayerIndex layer : parts.InTiers()) {
    if (layer == class_layer) continue;
    TIERFS_ASSIGN(const bool done, take_tier(layer));
    if (done) return found;
  }
  MergedStat merged;
  for (const LayerIndex layer : directories) merged.Add(part_stats[layer]);
  if (found.whiteouts.Empty()) {
    for (const LayerIndex layer : parts.InLower()) {
      struct stat st;
      TIERFS_ASSIGN(const bool there, look(layer, st));
      if (!there) continue;
      if (IsWhiteout(st)) break;
      if (!S_ISDIR(st.st_mode)) {
        if (directories.Empty()) return FoundAt(layer, st);
        break;
      }
      if (directories.Empty()) found.key = layers_.KeyOf(layer, st);
      directories = directories.With(layer);
      if (!merged.Finished()) merged.Add(st);
      const bool last = LayerMask(parts.bits() >> layer >> 1).Empty();
      if (!last) {
        TIERFS_ASSIGN(const DirFd dir, OpenDir(parent, layer));
        if (IsOpaque((*dir).get(), name)) break;
      }
    }
  }
  if (directories.Empty()) return found;
  found.parts = directories;
  found.st = merged.Get();
  if (IsTier(directories.First())) found.key = layers_.KeyOf(directories.First(), part_stats[directories.First()]);
  return found;
}

Result<Tree::Found> Tree::Resolve(const NodePtr& parent, const char* name) {
  for (;;) {
    const std::uint64_t moved = nodes_.Moved();
    const std::uint64_t before = moves_.Count();
    TIERFS_ASSIGN(Found found, KeepTime::Undisturbed([&] { return ResolveOnce(parent, name); }, kShowsDirectory));
    // A file that moves to a tier already looked at while we look at its old one would seem to be gone, or to be what it hides.
    found.moved = moved;
    if (!found.parts.InTiers().Empty() || moves_.NoneSince(before)) return found;
    TIERFS_ASSIGN(found, KeepTime::Undisturbed([&] { return ResolveOnce(parent, name); }, kShowsDirectory));
    found.moved = moved;
    if (!found.parts.InTiers().Empty() || moves_.Count() == before) return found;
  }
}

Result<Entry> Tree::Lookup(NodeId parent_id, const char* name) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr parent, GetDirectory(parent_id));
  for (;;) {
    TIERFS_ASSIGN(const Found found, Resolve(parent, name));
    if (!found.Exists()) {
      // Node 0: the kernel may remember that there is no such name.
      Entry absent{};
      absent.timeout = Timeout();
      return absent;
    }
    if (const NodePtr node = ReferenceFound(parent, name, found)) {
      Entry entry = EntryOf(*node, found.st);
      // Of several names of one lower file only that which is changed is copied up: each use of one asks which it is.
      if (!found.IsDir() && !IsTier(found.parts.First()) && found.st.st_nlink > 1) entry.timeout = 0;
      return entry;
    }
  }
}

Result<std::uint64_t> Tree::LookAt(std::initializer_list<Side*> sides) {
  for (;;) {
    const std::uint64_t moved = nodes_.Moved();
    for (Side* side : sides) {
      TIERFS_ASSIGN(side->found, Resolve(side->parent, side->name));
      side->node = side->found.Exists() ? FindNode(side->found) : nullptr;
    }
    if (nodes_.Moved() == moved) return moved;
  }
}

Result<Attributes> Tree::GetAttributes(NodeId id, HandleId handle) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  const auto describe = [&](const struct stat& st) {
    Attributes attributes = Describe(*node, st);
    // A superseded node is not told what changes by the one that took its place.
    if (!(node->id == id)) attributes.timeout = 0;
    return attributes;
  };
  if (const auto file = handles_.Get(handle)) {
    TIERFS_ASSIGN(const struct stat st, StatFd(file->Data()->get()));
    // The handle of a file that was copied up or moved after it was opened still shows the old backing inode.
    if (layers_.KeyOf(node->Placement(), st) == nodes_.KeyOf(*node)) return describe(st);
  }
  TIERFS_ASSIGN(const struct stat st, StatNode(node));
  return describe(st);
}

Result<std::string> Tree::ReadLink(NodeId id) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  const std::lock_guard lock(node->mutex);  // nobody moves it meanwhile
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  std::string target(PATH_MAX, '\0');
  const ssize_t length = ::readlinkat(at.DirOrFile(), at.name.c_str(), target.data(), target.size());
  if (length < 0) return FailErrno("readlinkat");
  target.resize(static_cast<std::size_t>(length));
  return target;
}

Result<struct statvfs> Tree::SpaceOf(NodeId id) {
  const SharedTopology topology(topology_);
  TIERFS_ASSIGN(const NodePtr node, Get(id));
  // The tier that a write here goes to: a file's own, else the class of the path.
  LayerIndex layer = node->IsDir() ? kNoLayer : node->Placement();
  if (layer == kNoLayer || !IsTier(layer)) layer = LayerOf(DecisionOfNode(*node).tier);
  struct statvfs space;
  if (::fstatvfs(layers_[layer].root.get(), &space) != 0) return FailErrno("fstatvfs");
  return space;
}

}  // namespace tierfs
