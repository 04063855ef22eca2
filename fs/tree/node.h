// One file or directory of the merged view, as the kernel knows it.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "fs/os/mutex.h"
#include "fs/os/unique_fd.h"
#include "fs/tier/layer.h"
#include "fs/tree/small_mutex.h"
#include "fs/tree/small_name.h"
#include "policy/policy.h"

namespace tierfs {

// The kernel's name for a node. A number in a table, never a pointer, never reused while mounted; 1
// is the root.
struct NodeId {
  std::uint64_t value = 0;
  bool operator==(const NodeId&) const = default;
};

inline constexpr NodeId kRootNode{1};

// What the open handles of a file have in common. The kernel lets a file have one backing file
// while any passthrough open exists.
struct OpenState {
  std::uint32_t passthrough = 0;  // handles whose data goes past the daemon
  std::uint32_t cached = 0;       // handles whose data goes through the kernel's page cache
  std::uint32_t direct = 0;       // handles whose data goes through the daemon alone
  std::int32_t backing_id = 0;    // the kernel's registration, 0 when there is none
  BackingKey backing;             // the file that it stands for
  [[nodiscard]] bool Any() const { return passthrough + cached + direct > 0; }
};

struct Node {
  Node(NodeId node_id, mode_t file_type, std::uint64_t inode_number) : id(node_id), type(file_type), ino(inode_number) {}

  [[nodiscard]] bool IsDir() const { return S_ISDIR(type); }
  [[nodiscard]] LayerMask Parts() const { return LayerMask(parts.load(std::memory_order_acquire)); }
  // The layer of a file: its only part.
  [[nodiscard]] LayerIndex Placement() const { return Parts().First(); }

  const NodeId id;
  const mode_t type;        // S_IFMT bits
  const std::uint64_t ino;  // st_ino, constant while mounted

  // The layers that hold it: any number for a directory, exactly one for anything else.
  std::atomic<std::uint64_t> parts{0};
  // Open for writing just now.
  std::atomic<std::uint32_t> writers{0};
  // Of those, the ones that may change it through a shared mapping, which the kernel does not tell
  // anybody.
  std::atomic<std::uint32_t> mappers{0};

  // Guarded by NodeTable's mutex.
  std::shared_ptr<Node> parent;  // of one of its names; empty for the root
  SmallName name;                // that name; empty when it has none left
  BackingKey key;                // of a directory: the key of its first part
  std::uint64_t lookups = 0;     // references that the kernel holds
  std::uint64_t children = 0;    // nodes whose parent or successor this is
  // The node that stands for the file now. Set when the file was copied up while handles went past
  // the daemon to the lower file: the kernel lets those have no other backing file, so whoever
  // opens it anew gets another inode.
  std::shared_ptr<Node> successor;
  policy::State state;  // a directory's place in the policy automaton
  std::uint64_t state_epoch = 0;
  bool named_elsewhere = false;  // when it has no name left: the file has others, which nobody has looked up

  // Held while a file is opened, closed, copied up, moved or removed. Guards what follows.
  mutable SmallMutex mutex;
  OpenState open GUARDED_BY(mutex);
  std::uint32_t changes GUARDED_BY(mutex) = 0;  // counts opens for writing and changes of attributes: a copy made beside them is of no use
  bool settle_at_close GUARDED_BY(mutex) = false;  // it is misplaced because it was open when its path changed
  UniqueFd pinned GUARDED_BY(mutex);               // keeps an unlinked file reachable until the kernel forgets it
};

using NodePtr = std::shared_ptr<Node>;

}  // namespace tierfs
