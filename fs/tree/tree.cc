#include "fs/tree/tree.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "fs/os/at_end.h"
#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/fault.h"
#include "fs/os/keep_time.h"
#include "fs/tier/entry.h"

namespace tierfs {
namespace {

// Paths longer than this are opened a directory at a time: the kernel takes at most PATH_MAX (4096) bytes at once.
constexpr std::size_t kLongPath = 4000;

BackingKey RootKey(const LayerSet& layers) {
  const auto st = StatFd(layers[0].root.get());
  return st ? layers.KeyOf(0, *st) : BackingKey{};
}

}  // namespace

const int Tree::Location::AT_EMPTY_PATH_FLAG = AT_EMPTY_PATH;

std::string Tree::Location::Proc() const { return name.empty() ? ProcPath(DirOrFile()) : ProcPath(dir->get(), name.c_str()); }

Tree::Tree(LayerSet layers, std::shared_ptr<const policy::Policy> policy, TreeOptions options)
    : layers_(std::move(layers)),
      options_(options),
      nodes_(RootKey(layers_), layers_.All()),
      dirs_(options.directory_fds, options.cache_timeout),
      settler_([this](const SettleTask& task) { SettleInBackground(task); }) {
  policy_.policy = std::move(policy);
}

Tree::~Tree() {
  stopping_ = true;
  settler_.Stop();
}

double Tree::Timeout() const { return std::chrono::duration<double>(options_.cache_timeout).count(); }

Result<NodePtr> Tree::Get(NodeId id) const {
  NodePtr node = nodes_.Get(id);
  if (!node) return Fail(ESTALE, "unknown node");
  return node;
}

Result<NodePtr> Tree::GetDirectory(NodeId id) const {
  TIERFS_ASSIGN(NodePtr node, Get(id));
  if (!node->IsDir()) return Fail(ENOTDIR, "not a directory");
  return node;
}

Tree::PolicyState Tree::Policy() const {
  const std::shared_lock lock(policy_mutex_);
  return policy_;
}

policy::Decision Tree::DecisionFor(const NodePtr& parent, const std::string& name, bool is_dir) {
  const PolicyState now = Policy();
  return now.policy->Classify(nodes_.StateOf(*parent, *now.policy, now.epoch), name, is_dir);
}

policy::Decision Tree::DecisionOfNode(const Node& node) {
  const NodeTable::Place place = nodes_.PlaceOf(node);
  if (place.parent) return DecisionFor(place.parent, place.name, node.IsDir());
  const PolicyState now = Policy();
  return now.policy->DecisionOf(now.policy->Root());
}

Result<DirFd> Tree::OpenDir(const NodePtr& directory, LayerIndex layer) {
  if (DirFd fd = dirs_.Get(directory->id, layer)) return fd;
  const auto path = nodes_.PathOf(*directory);
  if (!path) return Fail(ENOENT, "directory without a name");
  constexpr int kFlags = O_PATH | O_DIRECTORY;
  UniqueFd fd;
  if (path->size() < kLongPath) {
    TIERFS_ASSIGN(fd, OpenBeneath(layers_[layer].root.get(), *path, kFlags));
  } else {
    const NodeTable::Place place = nodes_.PlaceOf(*directory);
    if (!place.parent) return Fail(ENOENT, "directory without a name");
    TIERFS_ASSIGN(const DirFd parent, OpenDir(place.parent, layer));
    TIERFS_ASSIGN(fd, OpenBeneath((*parent).get(), place.name, kFlags));
  }
  auto shared = std::make_shared<const UniqueFd>(std::move(fd));
  dirs_.Put(directory->id, layer, shared);
  return DirFd(std::move(shared));
}

Result<DirFd> Tree::OpenDirForWriting(const NodePtr& directory, LayerIndex tier) {
  if (directory->Parts().Has(tier)) return OpenDir(directory, tier);
  const NodeTable::Place place = nodes_.PlaceOf(*directory);
  if (!place.parent) return Fail(ENOENT, "directory without a name");
  TIERFS_ASSIGN(const DirFd parent, OpenDirForWriting(place.parent, tier));
  const int parent_fd = (*parent).get();

  const std::lock_guard lock(growth_);
  const LayerMask parts = directory->Parts();
  if (parts.Has(tier)) return OpenDir(directory, tier);
  if (!nodes_.PlaceOf(*directory).parent) return Fail(ENOENT, "directory without a name");  // removed meanwhile
  TIERFS_ASSIGN(const DirFd model, OpenDir(directory, parts.First()));
  TIERFS_ASSIGN(const struct stat model_stat, StatFd((*model).get()));
  bool made_one = false;
  const AtEnd tell([&] {
    if (made_one) Tell(LayerMask::Only(tier), place.parent, place.name, Feed::Change::kName);
  });
  // Nothing is made in the parent as the user sees it: its time stays. The feed looks at it once it is put back.
  const KeepTime keep(parent_fd);

  if (::mkdirat(parent_fd, place.name.c_str(), kUnfinishedDirMode) != 0 && errno != EEXIST) {
    return FailErrno("mkdirat of a cloned parent");
  }
  made_one = true;
  Fault::Here("parent.made");
  TIERFS_ASSIGN(UniqueFd made, OpenEntry(parent_fd, place.name.c_str(), O_PATH | O_DIRECTORY));
  TIERFS_ASSIGN(const struct stat made_stat, StatFd(made.get()));
  if (IsUnfinishedDir(made_stat)) {
    TIERFS_TRY(CloneAttributes((*model).get(), model_stat, made.get()));
    TIERFS_TRY(CloneDirectoryFlags((*model).get(), made.get()));
  }

  const LayerMask grown = parts.With(tier);
  const BackingKey key = grown.First() == tier ? layers_.KeyOf(tier, made_stat) : nodes_.KeyOf(*directory);
  nodes_.Rekey(directory, key, grown);
  auto shared = std::make_shared<const UniqueFd>(std::move(made));
  dirs_.Put(directory->id, tier, shared);
  return DirFd(std::move(shared));
}

Tree::Found Tree::FoundAt(LayerIndex layer, const struct stat& st) const {
  Found found;
  found.parts = LayerMask::Only(layer);
  found.st = st;
  found.key = layers_.KeyOf(layer, st);
  return found;
}

Attributes Tree::Describe(const Node& node, struct stat st) const {
  st.st_ino = node.ino;
  // What is mapped for writing changes its times behind the kernel's back: it asks again when a clock tick is over. Finer than that those
  // times are not.
  constexpr double kTick = 0.001;
  return Attributes{st, node.mappers.load(std::memory_order_relaxed) != 0 ? std::min(kTick, Timeout()) : Timeout()};
}

// A new part of a directory may be what it is found by before the table knows: not while growth_ is held.
NodePtr Tree::ReferenceFound(const NodePtr& parent, const char* name, const Found& found) {
  std::unique_lock growth(growth_, std::defer_lock);
  if (found.IsDir()) growth.lock();
  if (!found.IsDir()) RememberLinks(found.key, found.st, found.parts.First());
  return nodes_.Reference(parent, name, {found.key, found.st.st_mode, found.parts, found.moved});
}

NodePtr Tree::FindNode(const Found& found) {
  std::unique_lock growth(growth_, std::defer_lock);
  if (found.IsDir()) growth.lock();
  return nodes_.Find(found.key);
}

Entry Tree::EntryOf(const Node& node, const struct stat& st) const { return Entry{node.id, Describe(node, st), Timeout()}; }

Result<Tree::Location> Tree::Locate(const NodePtr& node, LayerIndex layer) {
  if (node == nodes_.root() || nodes_.PlaceOf(*node).parent) {
    Result<Location> at = LocateLocked(node, layer);
    if (at || at.error().code != ESTALE) return at;
  }
  const std::lock_guard lock(node->mutex);
  return LocateLocked(node, layer);
}

Result<Tree::Held> Tree::Hold(const NodePtr& node) {
  Held held;
  if (node->IsDir()) {
    TIERFS_ASSIGN(held.at, Locate(node, node->Parts().First()));
    return held;
  }
  held.lock = NodeLock(node->mutex);
  TIERFS_ASSIGN(held.at, LocateLocked(node, node->Placement()));
  return held;
}

Result<Tree::Location> Tree::LocateLocked(const NodePtr& node, LayerIndex layer) {
  Location at;
  at.layer = layer;
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (node == nodes_.root()) {
    TIERFS_ASSIGN(at.dir, OpenDir(node, layer));
    at.name = ".";
  } else if (place.parent) {
    TIERFS_ASSIGN(at.dir, OpenDir(place.parent, layer));
    at.name = place.name;
  } else if (node->pinned) {
    at.file = UniqueFd(::fcntl(node->pinned.get(), F_DUPFD_CLOEXEC, 0));
    if (!at.file) return FailErrno("dup of a pinned file");
  } else {
    return Fail(ESTALE, "no name left");
  }
  return at;
}

Result<struct stat> Tree::StatNode(const NodePtr& node) {
  if (node->IsDir()) {
    // In one without a name nothing is moved, and its mutex may not be waited for within KeepTime's.
    if (node != nodes_.root() && !nodes_.PlaceOf(*node).parent) return StatParts(node);
    return KeepTime::Undisturbed([&] { return StatParts(node); }, [](const auto&) { return true; });
  }
  // A rename or a move between tiers may come between reading the place and looking there: the place then has changed.
  for (;;) {
    const NodeTable::Place place = nodes_.PlaceOf(*node);
    TIERFS_ASSIGN(const Location at, Locate(node, place.parts.First()));
    struct stat st;
    const bool ok = ::fstatat(at.DirOrFile(), at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW | at.EmptyPathFlag()) == 0;
    const int error = errno;
    if (ok && (at.name.empty() || layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*node))) return st;
    if (!(nodes_.PlaceOf(*node) == place)) continue;
    if (!ok && error != ENOENT) return Fail(error, "fstatat");
    break;
  }
  // Whoever is moving it holds its mutex until the table knows.
  const std::lock_guard lock(node->mutex);
  TIERFS_ASSIGN(const Location at, LocateLocked(node, node->Placement()));
  struct stat st;
  if (::fstatat(at.DirOrFile(), at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW | at.EmptyPathFlag()) != 0) {
    return errno == ENOENT ? Fail(ESTALE, "gone underneath") : FailErrno("fstatat");
  }
  if (!at.name.empty() && !(layers_.KeyOf(at.layer, st) == nodes_.KeyOf(*node))) return Fail(ESTALE, "replaced underneath");
  return st;
}

Result<struct stat> Tree::StatParts(const NodePtr& directory) {
  MergedStat merged;
  for (const LayerIndex layer : directory->Parts()) {
    if (!IsTier(layer) && merged.Finished()) break;
    TIERFS_ASSIGN(const Location at, Locate(directory, layer));
    struct stat st;
    if (::fstatat(at.DirOrFile(), at.name.c_str(), &st, AT_SYMLINK_NOFOLLOW | at.EmptyPathFlag()) != 0) {
      if (errno == ENOENT) continue;  // a part that was removed underneath
      return FailErrno("fstatat");
    }
    if (S_ISDIR(st.st_mode)) merged.Add(st);
  }
  if (merged.Empty()) return Fail(ESTALE, "directory gone from every layer");
  return merged.Get();
}

}  // namespace tierfs
