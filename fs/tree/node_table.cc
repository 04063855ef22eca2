#include "fs/tree/node_table.h"

#include <algorithm>

namespace tierfs {

std::uint64_t InodeNumbers::Derived(const BackingKey& key) {
  constexpr std::uint64_t kLow = (std::uint64_t{1} << 56) - 1;
  return ((std::uint64_t{key.file_system} << 56) & (std::uint64_t{0x7F} << 56)) | (key.inode & kLow);
}

std::uint64_t InodeNumbers::Of(const BackingKey& key) {
  if (!overrides_.empty() || !taken_.empty()) {
    if (const auto found = overrides_.find(key); found != overrides_.end()) return found->second.number;
  }
  const std::uint64_t number = Derived(key);
  // Two kinds of files get a fresh number for the life of this mount. One is on a file system
  // mounted beneath a layer. The other would get a number that a file kept when it moved away.
  const bool foreign = key.file_system >= kMaxLayers || (key.inode >> 56) != 0;
  if (!foreign && (taken_.empty() || taken_.count(number) == 0)) return number;
  const std::uint64_t fresh = next_fresh_++;
  overrides_.emplace(key, Override{fresh});
  if (!foreign) taken_.emplace(fresh, key);
  return fresh;
}

std::optional<BackingKey> InodeNumbers::KeyOf(std::uint64_t number) const {
  if (const auto found = taken_.find(number); found != taken_.end()) return found->second;
  if (number >= kFresh) return std::nullopt;
  const BackingKey key{static_cast<std::uint32_t>(number >> 56), number & ((std::uint64_t{1} << 56) - 1)};
  return overrides_.count(key) == 0 ? std::optional(key) : std::nullopt;
}

void InodeNumbers::Reassign(const BackingKey& from, const BackingKey& to) {
  const std::uint64_t number = Of(from);
  overrides_.erase(from);
  Released(to);
  taken_[number] = to;
  overrides_[to] = Override{number};
}

void InodeNumbers::Released(const BackingKey& key) {
  if (overrides_.empty()) return;
  const auto found = overrides_.find(key);
  if (found == overrides_.end()) return;
  taken_.erase(found->second.number);
  overrides_.erase(found);
}

std::uint32_t InodeNumbers::ShownGeneration(const BackingKey& key, std::uint32_t backing) const {
  const auto found = overrides_.find(key);
  return found == overrides_.end() ? backing : backing ^ found->second.difference;
}

void InodeNumbers::ShowGeneration(const BackingKey& key, std::uint32_t backing, std::uint32_t shown) {
  if (const auto found = overrides_.find(key); found != overrides_.end()) found->second.difference = backing ^ shown;
}

NodeTable::NodeTable(BackingKey root_key, LayerMask root_parts) {
  root_ = std::make_shared<Node>(kRootNode, S_IFDIR, numbers_.Of(root_key));
  root_->parts = root_parts.bits();
  root_->key = root_key;
  root_->lookups = 1;
  root_->identified = true;  // the kernel wants generation 0 for the root
  by_id_[kRootNode.value] = root_;
  by_key_[root_key] = root_;
}

NodePtr NodeTable::Get(NodeId id) const {
  const Lock lock(mutex_);
  const auto found = by_id_.find(id.value);
  return found == by_id_.end() ? nullptr : found->second;
}

NodePtr NodeTable::Find(const BackingKey& key) const {
  const Lock lock(mutex_);
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : found->second;
}

NodePtr NodeTable::Reference(const NodePtr& parent, const std::string& name, const Found& found) {
  const Lock lock(mutex_);
  if (found.generation && *found.generation != Generation()) return nullptr;
  return ReferenceLocked(parent, name, found);
}

NodePtr NodeTable::ReferenceLocked(const NodePtr& parent, const std::string& name, const Found& found) {
  auto known = by_key_.find(found.key);
  if (known != by_key_.end() && known->second->type != (found.st.st_mode & S_IFMT)) {
    // The backing inode was removed and reused underneath. The old node lives on until it is
    // forgotten.
    by_key_.erase(known);
    known = by_key_.end();
  }
  NodePtr node;
  if (known == by_key_.end()) {
    const std::uint64_t ino = numbers_.Of(found.key);
    node = std::make_shared<Node>(FreeId(ino), found.st.st_mode & S_IFMT, ino);
    node->key = found.key;
    by_id_[node->id.value] = node;
    by_key_[found.key] = node;
  } else {
    node = known->second;
  }
  if (node != root_) {
    if (node->parent != parent || node->name != name) {
      if (node->parent && parent && !node->IsDir()) {
        RememberName(*node);
        DropName(*node, Name(parent, name));
      }
      SetPlace(*node, parent, name);
    }
    node->parts.store(found.parts.bits(), std::memory_order_release);
  }
  ++node->lookups;
  return node;
}

NodeId NodeTable::FreeId(std::uint64_t ino) { return NodeId{ino == 0 || by_id_.count(ino) != 0 ? next_id_++ : ino}; }

void NodeTable::Identify(Node& node, const BackingKey& key, const Result<std::uint32_t>& backing) {
  const Lock lock(mutex_);
  const bool known = node.generation.load() != 0;
  if (!known) {
    const std::uint32_t shown = backing ? numbers_.ShownGeneration(key, *backing) : next_generation_++;
    node.generation.store(shown != 0 ? shown : 1);
  }
  if (!(node.key == key)) return;
  if (known && backing) numbers_.ShowGeneration(key, *backing, node.generation.load());
  node.identified.store(true, std::memory_order_release);
}

NodePtr NodeTable::KeepExactly(NodeId id) {
  const Lock lock(mutex_);
  const auto found = by_id_.find(id.value);
  if (found == by_id_.end()) return nullptr;
  ++found->second->lookups;
  return found->second;
}

std::optional<BackingKey> NodeTable::KeyOfNumber(NodeId id) const {
  const Lock lock(mutex_);
  return numbers_.KeyOf(id.value);
}

void NodeTable::SetPlace(Node& node, const NodePtr& parent, const std::string& name) {
  // A node must not become its own ancestor if the trees were rearranged underneath.
  for (const Node* above = parent.get(); above != nullptr; above = above->parent.get()) {
    if (above == &node) return;
  }
  const NodePtr old = std::move(node.parent);
  if (parent) ++parent->children;
  node.parent = parent;
  node.name = name;
  node.state_epoch = 0;
  if (old) {
    --old->children;
    DropIfUnused(old);
  }
}

void NodeTable::SetParts(Node& node, LayerMask parts) {
  if (node.parts.exchange(parts.bits(), std::memory_order_acq_rel) != parts.bits()) generation_.fetch_add(1, std::memory_order_release);
}

NodePtr NodeTable::Hold(const NodePtr& parent, const std::string& name, const Found& found) {
  const Lock lock(mutex_);
  if (found.generation && *found.generation != Generation()) return nullptr;
  const auto known = by_key_.find(found.key);
  if (known != by_key_.end() && known->second->type == (found.st.st_mode & S_IFMT) && known->second->lookups > 0) {
    ++known->second->lookups;
    return known->second;
  }
  return ReferenceLocked(parent, name, found);
}

void NodeTable::RememberName(Node& node) {
  if (other_names_[node.id.value].emplace(Name(node.parent, std::string(node.name)), node.Parts()).second) ++node.parent->children;
}

void NodeTable::DropName(const Node& node, const Name& name) {
  const auto names = other_names_.find(node.id.value);
  if (names == other_names_.end() || names->second.erase(name) == 0) return;
  if (names->second.empty()) other_names_.erase(names);
  --name.first->children;
  DropIfUnused(name.first);
}

void NodeTable::DropNames(const Node& node) {
  if (other_names_.empty()) return;
  const auto names = other_names_.extract(node.id.value);
  if (names.empty()) return;
  for (const auto& [name, parts] : names.mapped()) {
    --name.first->children;
    DropIfUnused(name.first);
  }
}

void NodeTable::DropIfUnused(NodePtr node) {
  while (node && node != root_ && node->lookups == 0 && node->children == 0) {
    if (by_id_.erase(node->id.value) == 0) return;
    DropNames(*node);
    if (const auto found = by_key_.find(node->key); found != by_key_.end() && found->second == node) {
      by_key_.erase(found);
    }
    NodePtr above = std::move(node->parent);
    node->name.clear();
    if (above) --above->children;
    node = std::move(above);
  }
}

void NodeTable::Keep(Node& node) {
  const Lock lock(mutex_);
  ++node.lookups;
}

void NodeTable::Forget(NodeId id, std::uint64_t count) {
  NodePtr node;  // destroyed after the lock is released: it may close a descriptor
  const Lock lock(mutex_);
  const auto found = by_id_.find(id.value);
  if (found == by_id_.end()) return;
  node = found->second;
  node->lookups -= std::min(node->lookups, count);
  DropIfUnused(node);
}

NodeTable::Place NodeTable::PlaceOf(const Node& node) const {
  const Lock lock(mutex_);
  return Place{node.parent, node.name, node.Parts(), node.named_elsewhere && !node.parent};
}

std::optional<std::string> NodeTable::PathOf(const Node& node) const {
  const Lock lock(mutex_);
  std::vector<std::string_view> names;
  for (const Node* at = &node; at != root_.get(); at = at->parent.get()) {
    if (!at->parent) return std::nullopt;
    names.push_back(at->name);
  }
  std::string path;
  for (auto name = names.rbegin(); name != names.rend(); ++name) {
    if (!path.empty()) path += '/';
    path += *name;
  }
  return path;
}

void NodeTable::Renamed(const NodePtr& node, const NodePtr& parent, const std::string& name, LayerMask parts, const NodePtr& from,
                        const std::string& from_name) {
  const Lock lock(mutex_);
  if (!from) {
    const auto known = by_id_.find(node->id.value);
    if (known == by_id_.end() || known->second != node) return;
  }
  if (from && node->parent && !node->IsDir()) {
    if (node->parent != from || node->name != from_name) {
      RememberName(*node);
      DropName(*node, Name(from, from_name));
    }
    DropName(*node, Name(parent, name));
  }
  SetParts(*node, parts);
  SetPlace(*node, parent, name);
}

void NodeTable::Unlinked(const NodePtr& node, const NodePtr& parent, const std::string& name, bool last) {
  const Lock lock(mutex_);
  DropName(*node, Name(parent, name));
  if (node->parent == parent && node->name == name) {
    const auto names = other_names_.find(node->id.value);
    if (last || names == other_names_.end()) {
      SetPlace(*node, nullptr, "");
      node->named_elsewhere = !last;
    } else {
      const auto [other, parts] = *names->second.begin();
      SetParts(*node, parts);
      SetPlace(*node, other.first, other.second);
      DropName(*node, other);
    }
  }
  if (!last) return;
  DropNames(*node);
  numbers_.Released(node->key);
  if (const auto found = by_key_.find(node->key); found != by_key_.end() && found->second == node) by_key_.erase(found);
}

void NodeTable::Reserve(const NodePtr& node, const BackingKey& key) {
  const Lock lock(mutex_);
  by_key_[key] = node;
}

void NodeTable::Unreserve(const NodePtr& node, const BackingKey& key) {
  const Lock lock(mutex_);
  if (const auto found = by_key_.find(key); found != by_key_.end() && found->second == node) by_key_.erase(found);
}

void NodeTable::Rekey(const NodePtr& node, const BackingKey& key, LayerMask parts) {
  const Lock lock(mutex_);
  SetParts(*node, parts);
  // A file that moves to another file system has no other name.
  if (!node->IsDir() && !(node->key == key)) DropNames(*node);
  SetKey(node, key);
}

void NodeTable::CopiedUp(const NodePtr& node, const BackingKey& key, const std::vector<Copied>& copied) {
  const Lock lock(mutex_);
  const auto layer_of = [&](const NodePtr& parent, const std::string& name) {
    for (const Copied& each : copied) {
      if (each.parent == parent && each.name == name) return each.layer;
    }
    return kNoLayer;
  };
  const LayerIndex layer = layer_of(node->parent, std::string(node->name));
  SetParts(*node, LayerMask::Only(layer == kNoLayer ? copied.front().layer : layer));
  if (const auto others = other_names_.find(node->id.value); others != other_names_.end()) {
    for (auto& [name, parts] : others->second) {
      if (const LayerIndex other = layer_of(name.first, name.second); other != kNoLayer) parts = LayerMask::Only(other);
    }
  }
  SetKey(node, key);
}

void NodeTable::SetKey(const NodePtr& node, const BackingKey& key) {
  if (node->key == key) return;
  generation_.fetch_add(1, std::memory_order_release);
  numbers_.Reassign(node->key, key);
  if (const auto found = by_key_.find(node->key); found != by_key_.end() && found->second == node) by_key_.erase(found);
  node->key = key;
  node->identified.store(false, std::memory_order_release);
  by_key_[key] = node;
}

BackingKey NodeTable::KeyOf(const Node& node) const {
  const Lock lock(mutex_);
  return node.key;
}

std::uint64_t NodeTable::NumberOf(const BackingKey& key) {
  const Lock lock(mutex_);
  return numbers_.Of(key);
}

policy::State NodeTable::StateOf(Node& directory, const policy::Policy& policy, std::uint64_t epoch) {
  const Lock lock(mutex_);
  std::vector<Node*> stale;
  Node* at = &directory;
  while (at->state_epoch != epoch) {
    stale.push_back(at);
    if (!at->parent) break;
    at = at->parent.get();
  }
  for (auto node = stale.rbegin(); node != stale.rend(); ++node) {
    (*node)->state = (*node)->parent ? policy.Step((*node)->parent->state, (*node)->name) : policy.Root();
    (*node)->state_epoch = epoch;
  }
  return directory.state;
}

std::size_t NodeTable::size() const {
  const Lock lock(mutex_);
  return by_id_.size();
}

std::vector<NodePtr> NodeTable::All() const {
  const Lock lock(mutex_);
  std::vector<NodePtr> all;
  all.reserve(by_id_.size());
  for (const auto& [id, node] : by_id_) all.push_back(node);
  return all;
}

Result<NodePtr> NodeOf(const NodeTable& nodes, NodeId id) {
  NodePtr node = nodes.Get(id);
  if (!node) return Fail(ESTALE, "unknown node");
  return node;
}

Result<NodePtr> DirectoryOf(const NodeTable& nodes, NodeId id) {
  TIERFS_ASSIGN(NodePtr node, NodeOf(nodes, id));
  if (!node->IsDir()) return Fail(ENOTDIR, "not a directory");
  return node;
}

}  // namespace tierfs
