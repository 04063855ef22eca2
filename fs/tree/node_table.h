// All nodes that the kernel references, by node number and by backing inode.
#pragma once

#include <atomic>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "fs/os/mutex.h"
#include "fs/tree/found.h"
#include "fs/tree/node.h"

namespace tierfs {

// Assigns st_ino. A number is the backing inode number, with the index of the file system above it.
// It is unique in the view and the same after a remount. A file that moves to another backing inode
// keeps its number while mounted, and the generation that the kernel knows. That number is then
// taken: a file that reuses the old backing inode gets another. Not thread-safe: the mutex of
// NodeTable guards it.
class InodeNumbers {
 public:
  [[nodiscard]] std::uint64_t Of(const BackingKey& key);
  // The backing inode with the number, if there is one at all. nullopt when no layer can have it.
  [[nodiscard]] std::optional<BackingKey> KeyOf(std::uint64_t number) const;
  void Reassign(const BackingKey& from, const BackingKey& to);
  void Released(const BackingKey& key);  // the backing inode is gone

  // The generation that the kernel gets for a backing inode of generation `backing`.
  [[nodiscard]] std::uint32_t ShownGeneration(const BackingKey& key, std::uint32_t backing) const;
  // From now on ShownGeneration(key, backing) is `shown`. Only for a key whose file has moved.
  void ShowGeneration(const BackingKey& key, std::uint32_t backing, std::uint32_t shown);

 private:
  struct Override {
    std::uint64_t number;
    // Shown generation XOR generation of the backing inode. So a later file on this inode shows
    // another one.
    std::uint32_t difference = 0;
  };
  [[nodiscard]] static std::uint64_t Derived(const BackingKey& key);

  std::unordered_map<BackingKey, Override, BackingKeyHash> overrides_;
  std::unordered_map<std::uint64_t, BackingKey> taken_;  // by overrides
  std::uint64_t next_fresh_ = kFresh;
  static constexpr std::uint64_t kFresh = std::uint64_t{0x7F} << 56;
};

// Owns the nodes, their names and their inode numbers. A node stays in the table while the kernel
// holds a reference to it or another node depends on it. Thread-safe; the mutex is a leaf.
class NodeTable {
 public:
  NodeTable(BackingKey root_key, LayerMask root_parts);

  [[nodiscard]] NodePtr root() const { return root_; }
  // The node with the number, or null.
  [[nodiscard]] NodePtr Get(NodeId id) const;

  // The node of the backing inode that was found, made if there is none. It is now known as `name`
  // in `parent`. Takes one kernel reference. Null when the generation has changed since the lookup,
  // because the key may belong to another file by now.
  [[nodiscard]] NodePtr Reference(const NodePtr& parent, const std::string& name, const Found& found);
  // The same for the daemon's own lookups, which renames by users may overtake. A node that the
  // kernel knows keeps its name and its parts.
  [[nodiscard]] NodePtr Hold(const NodePtr& parent, const std::string& name, const Found& found);
  // Grows whenever a node gets another backing inode or other parts, or its file gets another link.
  // If it is unchanged once the mutex of a node is held, the results of earlier lookups stay valid
  // until the mutex is released.
  [[nodiscard]] std::uint64_t Generation() const { return generation_.load(std::memory_order_acquire); }
  // The node of a backing inode, or null when the kernel holds none. Takes no reference.
  [[nodiscard]] NodePtr Find(const BackingKey& key) const;
  // Gives the node its generation: that of its backing inode `key`, or one never used before if
  // that is unknown. After Rekey the node keeps the one that the kernel knows. Does nothing if the
  // node has another backing inode by now.
  void Identify(Node& node, const BackingKey& key, const Result<std::uint32_t>& backing);
  // The node with exactly this number, with a new reference, or null. Unlike Get it does not lead
  // to a successor: the kernel expects the number that it asked for.
  [[nodiscard]] NodePtr KeepExactly(NodeId id);
  // The backing inode from which a node with this number would be made.
  [[nodiscard]] std::optional<BackingKey> KeyOfNumber(NodeId id) const;
  // Adds a reference to a node that already has one. Forget gives it back.
  void Keep(Node& node);
  void Forget(NodeId id, std::uint64_t count);

  struct Place {
    NodePtr parent;  // empty for the root and for a node with no name left
    std::string name;
    LayerMask parts;  // of the node, as of the same moment
    // The last known name is gone, but the file has others.
    bool named_elsewhere = false;
    bool operator==(const Place&) const = default;
  };
  [[nodiscard]] Place PlaceOf(const Node& node) const;
  // The path relative to the root of the mount, without a leading slash. nullopt when the node has
  // no name left.
  [[nodiscard]] std::optional<std::string> PathOf(const Node& node) const;

  // The name `from_name` in `from` became `name` in `parent`. Other names of the file stay. Without
  // `from`, only the parts changed, and a node that the kernel has forgotten is left alone.
  void Renamed(const NodePtr& node, const NodePtr& parent, const std::string& name, LayerMask parts, const NodePtr& from = nullptr,
               const std::string& from_name = "");
  // The file of a node got another name.
  void Linked() { generation_.fetch_add(1, std::memory_order_release); }
  // The name is gone. A node that was known by it goes on under another of its known names. `last`:
  // the backing inode goes too, once it is closed.
  void Unlinked(const NodePtr& node, const NodePtr& parent, const std::string& name, bool last);
  // Registers a backing inode that is about to replace the one of the node. A lookup that finds it
  // before Rekey gets this node.
  void Reserve(const NodePtr& node, const BackingKey& key);
  void Unreserve(const NodePtr& node, const BackingKey& key);
  // The content of the node is in another backing inode now. The inode number stays.
  void Rekey(const NodePtr& node, const BackingKey& key, LayerMask parts);
  // A name of a file, and the tier that the file was copied up to at that name.
  struct Copied {
    NodePtr parent;
    std::string name;
    LayerIndex layer;
  };
  // A lower file was copied up to the backing inode `key`, at each of its names that show. The
  // inode number stays.
  void CopiedUp(const NodePtr& node, const BackingKey& key, const std::vector<Copied>& copied);
  [[nodiscard]] BackingKey KeyOf(const Node& node) const;

  // The st_ino of a backing inode, with or without a node.
  [[nodiscard]] std::uint64_t NumberOf(const BackingKey& key);

  // The state of a directory in the automaton `policy`. A state of an older epoch is computed
  // again.
  [[nodiscard]] policy::State StateOf(Node& directory, const policy::Policy& policy, std::uint64_t epoch);

  [[nodiscard]] std::size_t size() const;
  // Every node, for dropping the caches of the kernel.
  [[nodiscard]] std::vector<NodePtr> All() const;

 private:
  using Name = std::pair<NodePtr, std::string>;  // the directory, and the entry in it

  // A number for a new node: its inode number, from which the file can be found again. If another
  // node still has that, a fresh number, whose file handles end when the kernel forgets the node.
  [[nodiscard]] NodeId FreeId(std::uint64_t ino) REQUIRES(mutex_);
  [[nodiscard]] NodePtr ReferenceLocked(const NodePtr& parent, const std::string& name, const Found& found) REQUIRES(mutex_);
  void SetPlace(Node& node, const NodePtr& parent, const std::string& name) REQUIRES(mutex_);
  void SetParts(Node& node, LayerMask parts) REQUIRES(mutex_);
  void SetKey(const NodePtr& node, const BackingKey& key) REQUIRES(mutex_);
  // Adds the name in the node to its other names.
  void RememberName(Node& node) REQUIRES(mutex_);
  void DropName(const Node& node, const Name& name) REQUIRES(mutex_);
  void DropNames(const Node& node) REQUIRES(mutex_);
  void DropIfUnused(NodePtr node) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::unordered_map<std::uint64_t, NodePtr> by_id_ GUARDED_BY(mutex_);
  std::unordered_map<BackingKey, NodePtr, BackingKeyHash> by_key_ GUARDED_BY(mutex_);
  // For files with several names: the names that the kernel knows besides the one in the node, with
  // their layers. The kernel uses each of them without a new lookup, even after the one in the node
  // is gone. Their directories count them as children.
  std::unordered_map<std::uint64_t, std::map<Name, LayerMask>> other_names_ GUARDED_BY(mutex_);
  InodeNumbers numbers_ GUARDED_BY(mutex_);
  NodePtr root_;
  std::uint64_t next_id_ GUARDED_BY(mutex_) = std::uint64_t{1} << 63;  // above all inode numbers
  std::uint32_t next_generation_ GUARDED_BY(mutex_) = std::random_device()();
  std::atomic<std::uint64_t> generation_{0};  // changed with the mutex held
};

// The node with the number. ESTALE when the table has none.
[[nodiscard]] Result<NodePtr> NodeOf(const NodeTable& nodes, NodeId id);
// The directory with the number. ESTALE when the table has none, ENOTDIR for a file.
[[nodiscard]] Result<NodePtr> DirectoryOf(const NodeTable& nodes, NodeId id);

}  // namespace tierfs
