// Settling: a file that is in another tier than its path belongs to moves there.
#include <linux/fs.h>
#include <spdlog/spdlog.h>
#include <stdio.h>

#include <cstring>

#include "fs/tree/tree.h"

namespace tierfs {

void Tree::ContentChangedClass(const NodePtr& directory) {
  {
    const std::unique_lock lock(policy_mutex_);
    ++policy_.epoch;
  }
  if (auto path = nodes_.PathOf(*directory)) settler_.Add(std::move(*path));
}

void Tree::SettleInBackground(const std::string& path) {
  const auto settled = Settle(path, false);
  if (!settled) {
    spdlog::warn("settling {}: {} ({})", path, std::strerror(settled.error().code), settled.error().step);
  } else if (settled->left > 0) {
    spdlog::warn("settling {}: {} files moved, {} stay misplaced", path, settled->moved, settled->left);
  }
}

Result<NodePtr> Tree::AcquireDirectory(const std::string& path) {
  NodePtr at = nodes_.root();
  std::string_view rest = path;
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    auto entry = name.empty() ? Result<Entry>(Entry{at->id, {}, 0}) : Lookup(at->id, name.c_str());
    NodePtr next = entry && entry->id.value != 0 ? nodes_.Get(entry->id) : nullptr;
    if (at != nodes_.root()) nodes_.Forget(at->id, 1);
    if (!entry) return tl::unexpected(entry.error());
    if (!next) return Fail(ENOENT, "no such directory");
    at = std::move(next);
  }
  return at;
}

Result<Tree::Settled> Tree::Settle(const std::string& path, bool dry_run) {
  TIERFS_ASSIGN(const NodePtr directory, AcquireDirectory(path));
  Settled settled;
  if (directory->IsDir()) SettleDirectory(directory, dry_run, settled);
  if (directory != nodes_.root()) nodes_.Forget(directory->id, 1);
  return settled;
}

void Tree::SettleDirectory(const NodePtr& directory, bool dry_run, Settled& settled) {
  const auto entries = List(directory->id);
  if (!entries) return;
  std::vector<std::string> beneath;
  for (const DirectoryEntry& entry : *entries) {
    if (entry.name == "." || entry.name == "..") continue;
    if (!SettleEntry(directory, entry.name, dry_run, settled, beneath)) ++settled.left;
  }
  for (const std::string& name : beneath) {
    const auto entry = Lookup(directory->id, name.c_str());
    if (!entry || entry->id.value == 0) continue;
    if (const NodePtr child = nodes_.Get(entry->id); child && child->IsDir()) SettleDirectory(child, dry_run, settled);
    nodes_.Forget(entry->id, 1);
  }
}

Status Tree::SettleEntry(const NodePtr& parent, const std::string& name, bool dry_run, Settled& settled,
                         std::vector<std::string>& beneath) {
  const auto entry = Lookup(parent->id, name.c_str());
  if (!entry) return tl::unexpected(entry.error());
  if (entry->id.value == 0) return {};  // gone meanwhile
  const NodePtr node = nodes_.Get(entry->id);
  struct Reference {
    NodeTable& nodes;
    NodeId id;
    ~Reference() { nodes.Forget(id, 1); }
  } const reference{nodes_, entry->id};

  const SharedTopology topology(topology_);
  const LayerIndex home = LayerOf(DecisionFor(parent, name, node->IsDir()).tier);
  if (node->IsDir()) {
    beneath.push_back(name);
    // An empty directory too is kept as its class says.
    if (node->Parts().InTiers().Empty() || node->Parts().Has(home) || dry_run) return {};
    TIERFS_ASSIGN(const DirFd made, OpenDirForWriting(node, home));
    return {};
  }
  const std::lock_guard lock(node->mutex);
  const NodeTable::Place place = nodes_.PlaceOf(*node);
  if (place.parent != parent || place.name != name) return {};  // renamed meanwhile
  const LayerIndex from = place.parts.First();
  if (!IsTier(from) || from == home) return {};
  if (!layers_.SameFileSystem(from, home)) return Fail(EXDEV, "settling between file systems");
  if (dry_run) {
    ++settled.moved;
    return {};
  }
  TIERFS_ASSIGN(const DirFd old_dir, OpenDir(parent, from));
  TIERFS_ASSIGN(const DirFd new_dir, OpenDirForWriting(parent, home));
  moves_.fetch_add(1, std::memory_order_acq_rel);
  const int failed = ::renameat2((*old_dir).get(), name.c_str(), (*new_dir).get(), name.c_str(), RENAME_NOREPLACE);
  const int error = errno;
  if (failed == 0) nodes_.Renamed(node, parent, name, LayerMask::Only(home));
  moves_.fetch_add(1, std::memory_order_acq_rel);
  if (failed != 0) return Fail(error, "renameat2");
  Tell(LayerMask::Only(from).With(home), parent, name, Feed::Change::kName);
  ++settled.moved;
  return {};
}

}  // namespace tierfs
