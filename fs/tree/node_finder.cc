#include "fs/tree/node_finder.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>

#include <cstring>

#include "fs/os/entries.h"
#include "fs/os/inode_handle.h"
#include "fs/os/list_dir.h"
#include "fs/os/paths.h"

namespace tierfs {

Result<Entry> NodeFinder::Find(NodeId id) {
  const NodePtr node = Acquire(id);
  if (!node) return Fail(ESTALE, "no such file in the view");
  return Answer(node);
}

Result<Entry> NodeFinder::FindParent(NodeId id) {
  TIERFS_ASSIGN(const NodePtr node, NodeOf(nodes_, id));
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  const NodePtr parent = place.parent ? nodes_.KeepExactly(place.parent->id) : nullptr;
  if (!parent) return Fail(ESTALE, "no directory above");
  return Answer(parent);
}

Result<Entry> NodeFinder::Answer(const NodePtr& node) {
  const auto stat = [&]() -> Result<struct stat> {
    const ReadLock topology(topology_);
    const bool unnamed = node != nodes_.root() && !nodes_.PlaceOf(*node).parent;
    TIERFS_ASSIGN(const struct stat st, directories_.Stat(node));
    if (unnamed && (node->IsDir() || st.st_nlink == 0 || !IsTier(node->Placement()))) return Fail(ESTALE, "no name left");
    if (!node->IsDir()) reporter_.RememberLinks(nodes_.KeyOf(*node), st, node->Placement());
    return st;
  };
  const auto st = stat();
  if (st) return answers_.EntryOf(*node, *st);
  nodes_.Forget(node->id, 1);
  return Fail(st.error().code == ENOENT ? ESTALE : st.error().code, st.error().step);
}

NodePtr NodeFinder::Acquire(NodeId id) {
  if (NodePtr known = nodes_.KeepExactly(id)) return known;
  const auto key = nodes_.KeyOfNumber(id);
  if (!key) return nullptr;
  UniqueFd inode;
  for (const LayerIndex layer : LayersOn(key->file_system)) {
    auto fd = OpenInode(layers_[layer].root.get(), key->inode);
    if (!fd) return nullptr;
    if (NodePtr node = AtPathOf(fd->get(), layer, "", id)) return node;
    inode = std::move(*fd);
  }
  return inode ? ByIndexes(inode.get(), *key, id) : nullptr;
}

LayerMask NodeFinder::LayersOn(std::uint32_t file_system) const {
  LayerMask layers;
  for (LayerIndex layer = 0; layer < layers_.size(); ++layer) {
    if (layers_[layer].file_system == file_system) layers = layers.With(layer);
  }
  return layers;
}

std::optional<std::string> NodeFinder::PathIn(LayerIndex layer, int fd) const {
  const auto root = ReadLinkEntry(AT_FDCWD, ProcPath(layers_[layer].root.get()).c_str());
  const auto path = ReadLinkEntry(AT_FDCWD, ProcPath(fd).c_str());
  if (!root || !path) return std::nullopt;
  const std::string above = *root == "/" ? *root : *root + "/";
  if (path->compare(0, above.size(), above) != 0) return *path == *root ? std::optional(std::string()) : std::nullopt;
  return path->substr(above.size());
}

NodePtr NodeFinder::AtPathOf(int fd, LayerIndex layer, const std::string& below, NodeId id) {
  for (;;) {
    const auto path = PathIn(layer, fd);
    if (!path) return nullptr;
    const auto node = view_.AcquirePath(below.empty() ? *path : JoinPath(*path, below));
    if (node && (*node)->id == id) return *node;
    if (node) view_.Release(*node);
    if (PathIn(layer, fd) == path) return nullptr;  // else it was renamed meanwhile
  }
}

// The kernel knows no path of a file that it read by number. It always knows that of a directory
// (fs/exportfs/expfs.c: reconnect_path).
NodePtr NodeFinder::ByIndexes(int fd, const BackingKey& key, NodeId id) {
  // A file that is changed all the time is not searched for without end.
  constexpr int kTries = 3;
  Index tried;
  for (int i = 0; i < kTries; ++i) {
    const auto st = StatFd(fd);
    if (!st || S_ISDIR(st->st_mode) || st->st_nlink == 0) return nullptr;
    const Index index = IndexAfter(tried, key.file_system, st->st_ctim);
    if (!index) return nullptr;
    if (NodePtr node = ByIndex(*index, key, id)) return node;
    tried = index;
  }
  return nullptr;
}

NodePtr NodeFinder::ByIndex(const NameIndex& index, const BackingKey& key, NodeId id) {
  for (const std::uint64_t directory : index.DirectoriesOf(key.inode)) {
    for (const LayerIndex layer : LayersOn(key.file_system)) {
      const auto fd = OpenInode(layers_[layer].root.get(), directory);
      if (!fd) break;
      if (NodePtr node = InDirectory(fd->get(), layer, key.inode, id)) return node;
    }
  }
  return nullptr;
}

NodePtr NodeFinder::InDirectory(int directory, LayerIndex layer, std::uint64_t inode, NodeId id) {
  if (!PathIn(layer, directory)) return nullptr;
  const auto readable = OpenEntry(directory, ".", O_RDONLY | O_DIRECTORY);
  if (!readable) return nullptr;
  std::vector<std::string> names;
  const Status read = ForEachEntry(readable->get(), [&](const dirent64& entry) -> Status {
    if (entry.d_ino == inode) names.emplace_back(entry.d_name);
    return {};
  });
  if (!read) return nullptr;
  for (const std::string& name : names) {
    if (NodePtr node = AtPathOf(directory, layer, name, id)) return node;
  }
  return nullptr;
}

void NodeFinder::DropIndexes() {
  const Lock lock(mutex_);
  indexes_.clear();
}

NodeFinder::Index NodeFinder::IndexAfter(const Index& tried, std::uint32_t file_system, const timespec& change_time) {
  const Lock lock(mutex_);
  Made& made = indexes_[file_system];
  if (made.index && made.index != tried) return made.index;
  if (made.index && Clock::now() - made.at < max_age_ && made.index->Covers(change_time)) return nullptr;
  const auto begun = Clock::now();
  std::vector<int> roots;
  for (const LayerIndex layer : LayersOn(file_system)) roots.push_back(layers_[layer].root.get());
  auto index = NameIndex::Build(roots);
  if (!index) {
    spdlog::warn("cannot read the trees for a file handle: {} ({})", std::strerror(index.error().code), index.error().step);
    return nullptr;
  }
  made = Made{std::make_shared<const NameIndex>(std::move(*index)), begun};
  return made.index;
}

}  // namespace tierfs
