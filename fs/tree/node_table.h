// All nodes that the kernel holds a reference to, by number and by backing inode.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tree/found.h"
#include "fs/tree/node.h"

namespace tierfs {

// Gives out st_ino. A number is the backing inode's own, with the file system's index above it:
// unique in the view and the same after a remount. A file that moves to another backing inode keeps
// its number while mounted; the number is then taken and is not given to whatever reuses the old
// backing inode. Not thread-safe: NodeTable's mutex guards it.
class InodeNumbers {
 public:
  [[nodiscard]] std::uint64_t Of(const BackingKey& key);
  void Reassign(const BackingKey& from, const BackingKey& to);
  void Released(const BackingKey& key);  // the backing inode is gone

 private:
  [[nodiscard]] static std::uint64_t Derived(const BackingKey& key);

  std::unordered_map<BackingKey, std::uint64_t, BackingKeyHash> overrides_;
  std::unordered_set<std::uint64_t> taken_;
  std::uint64_t next_fresh_ = std::uint64_t{0x7F} << 56;
};

class NodeTable {
 public:
  NodeTable(BackingKey root_key, LayerMask root_parts);

  [[nodiscard]] NodePtr root() const { return root_; }
  // Of a superseded node: the one that took its place.
  [[nodiscard]] NodePtr Get(NodeId id) const;

  // The node of the backing inode that was found, made when there is none yet, now known as `name`
  // in `parent`. Takes one kernel reference. Null when the generation has changed since: by now the
  // key may be another file's.
  [[nodiscard]] NodePtr Reference(const NodePtr& parent, const std::string& name, const Found& found);
  // The same for a look of our own, which users' renames may overtake: a node that the kernel knows
  // keeps its name and its parts.
  [[nodiscard]] NodePtr Hold(const NodePtr& parent, const std::string& name, const Found& found);
  // Grows whenever a node gets another backing inode or other parts, or its file one more link. If
  // it is unchanged once a node's mutex is held, what was found before stays valid until the mutex
  // is released.
  [[nodiscard]] std::uint64_t Generation() const { return generation_.load(std::memory_order_acquire); }
  // The node of a backing inode if the kernel holds one; takes no reference.
  [[nodiscard]] NodePtr Find(const BackingKey& key) const;
  // One more reference to a node that has one; Forget gives it back.
  void Keep(Node& node);
  void Forget(NodeId id, std::uint64_t count);

  struct Place {
    NodePtr parent;  // empty for the root and for what has no name left
    std::string name;
    LayerMask parts;               // of the node, as of the same moment
    bool named_elsewhere = false;  // the last name that anybody looked up is gone, and the file has others
    bool operator==(const Place&) const = default;
  };
  [[nodiscard]] Place PlaceOf(const Node& node) const;
  // The path relative to the mount's root, without a leading slash; nothing when the node has no
  // name left.
  [[nodiscard]] std::optional<std::string> PathOf(const Node& node) const;

  // The name `from_name` in `from` is `name` in `parent` now; the file's other names stay. Without
  // `from`: only its parts changed.
  void Renamed(const NodePtr& node, const NodePtr& parent, const std::string& name, LayerMask parts, const NodePtr& from = nullptr,
               const std::string& from_name = "");
  // The file of the node got one more name.
  void Linked() { generation_.fetch_add(1, std::memory_order_release); }
  // The name is gone; a node that was known by it goes on under another that it was looked up by.
  // `last`: the backing inode is gone too, once it is closed.
  void Unlinked(const NodePtr& node, const NodePtr& parent, const std::string& name, bool last);
  // A backing inode that is about to take the place of the node's: a lookup that finds it before
  // Rekey gets this node.
  void Reserve(const NodePtr& node, const BackingKey& key);
  void Unreserve(const NodePtr& node, const BackingKey& key);
  // The node's content lives in another backing inode now; the number stays.
  void Rekey(const NodePtr& node, const BackingKey& key, LayerMask parts);
  [[nodiscard]] BackingKey KeyOf(const Node& node) const;
  // A new node takes over the file: its names, its number, every later request. The old one serves
  // the handles that it has.
  void Supersede(const NodePtr& node);
  [[nodiscard]] bool IsSuperseded(NodeId id) const;

  // st_ino of a backing inode, node or not.
  [[nodiscard]] std::uint64_t NumberOf(const BackingKey& key);

  // The state of a directory in the automaton `policy`; computed anew when it is from an older
  // epoch.
  [[nodiscard]] policy::State StateOf(Node& directory, const policy::Policy& policy, std::uint64_t epoch);

  [[nodiscard]] std::size_t size() const;
  // The names (parent node, name) of every node, for dropping the kernel's caches.
  [[nodiscard]] std::vector<NodePtr> All() const;

 private:
  using Name = std::pair<NodePtr, std::string>;  // the directory, and the entry in it

  [[nodiscard]] NodePtr ReferenceLocked(const NodePtr& parent, const std::string& name, const Found& found) REQUIRES(mutex_);
  void SetPlace(Node& node, const NodePtr& parent, const std::string& name) REQUIRES(mutex_);
  void SetParts(Node& node, LayerMask parts) REQUIRES(mutex_);
  // The name that a file is known by becomes one of its others.
  void RememberName(Node& node) REQUIRES(mutex_);
  void DropName(const Node& node, const Name& name) REQUIRES(mutex_);
  void DropNames(const Node& node) REQUIRES(mutex_);
  void DropIfUnused(NodePtr node) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::unordered_map<std::uint64_t, NodePtr> by_id_ GUARDED_BY(mutex_);
  std::unordered_map<BackingKey, NodePtr, BackingKeyHash> by_key_ GUARDED_BY(mutex_);
  // Of files with several names: those that the kernel knows besides the one in the node, with
  // their layers. It uses each without asking again, also when the one in the node is gone. Their
  // directories count them as children.
  std::unordered_map<std::uint64_t, std::map<Name, LayerMask>> other_names_ GUARDED_BY(mutex_);
  InodeNumbers numbers_ GUARDED_BY(mutex_);
  NodePtr root_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = kRootNode.value + 1;
  std::atomic<std::uint64_t> generation_{0};  // grows with the mutex held
};

// ESTALE for a number that the table does not know.
[[nodiscard]] Result<NodePtr> NodeOf(const NodeTable& nodes, NodeId id);
// The same; ENOTDIR for a file.
[[nodiscard]] Result<NodePtr> DirectoryOf(const NodeTable& nodes, NodeId id);

}  // namespace tierfs
