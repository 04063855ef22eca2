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

// The kernel's number for a node, a key of NodeTable. 1 is the root. No two nodes in the table have
// one number. A forgotten node's number may come back: to the same file, or to a later file on the
// same backing inode, which has another generation.
struct NodeId {
  std::uint64_t value = 0;
  bool operator==(const NodeId&) const = default;
};

inline constexpr NodeId kRootNode{1};

// The state that all open handles of a file share. The kernel allows a file one backing file while
// any passthrough open exists.
struct OpenState {
  std::uint32_t passthrough = 0;  // handles whose data bypasses the daemon
  std::uint32_t cached = 0;       // handles whose data goes through the kernel's page cache
  std::uint32_t direct = 0;       // handles whose data goes through the daemon alone
  std::int32_t backing_id = 0;    // the kernel's registration; 0 when there is none
  // The kernel's page cache may hold older data than the file: it was open for passthrough since.
  bool pages_outdated = false;
  [[nodiscard]] bool Any() const { return passthrough + cached + direct > 0; }
};

// One file or directory. NodeTable's mutex guards its names and references; its own mutex guards
// its open state.
struct Node {
  Node(NodeId node_id, mode_t file_type, std::uint64_t inode_number) : id(node_id), type(file_type), ino(inode_number) {}

  [[nodiscard]] bool IsDir() const { return S_ISDIR(type); }
  [[nodiscard]] LayerMask Parts() const { return LayerMask(parts.load(std::memory_order_acquire)); }
  // The layer of a file: its only part.
  [[nodiscard]] LayerIndex Placement() const { return Parts().First(); }

  const NodeId id;
  const mode_t type;  // S_IFMT bits
  // Part of the kernel's file handle, beside the number. Set before the first answer that names the
  // node, then constant: the kernel gives an inode up when it sees another one.
  std::atomic<std::uint32_t> generation{0};
  const std::uint64_t ino;  // st_ino, constant while mounted

  // The layers that hold it: any number for a directory, exactly one for any other file.
  std::atomic<std::uint64_t> parts{0};
  // The number of handles that are open for writing.
  std::atomic<std::uint32_t> writers{0};
  // The writers that may change the file through a shared mapping. The kernel does not report such
  // a change.
  std::atomic<std::uint32_t> mappers{0};

  // NodeTable's mutex guards the members from here to `mutex`.
  std::shared_ptr<Node> parent;  // the directory of one of its names; empty for the root
  SmallName name;                // that name; empty when it has none left
  BackingKey key;                // of a directory: the key of its first part
  std::uint64_t lookups = 0;     // references that the kernel holds
  std::uint64_t children = 0;    // nodes whose parent this is
  policy::State state;           // a directory's place in the policy automaton
  std::uint64_t state_epoch = 0;
  // The node has no name left, but the file has other names that were never looked up.
  bool named_elsewhere = false;
  // NodeTable::Identify was called for the present backing inode.
  std::atomic<bool> identified{false};

  // A handle that may have mapped the file for writing was closed. The mapping may live on.
  std::atomic<bool> may_stay_mapped{false};
  // Held while the file is opened, closed, copied up, moved or removed. Guards the members below.
  mutable SmallMutex mutex;
  OpenState open GUARDED_BY(mutex);
  // Counts opens for writing and changes of attributes. A copy made during one of them is useless.
  std::uint32_t changes GUARDED_BY(mutex) = 0;
  // The file is misplaced because it was open when its path changed. It is settled at its last
  // close.
  bool settle_at_close GUARDED_BY(mutex) = false;
  // Keeps an unlinked file reachable: a regular file while it is open, any other file until the
  // kernel forgets it.
  UniqueFd pinned GUARDED_BY(mutex);
  // The last name of the file was removed. NodeTable no longer knows its backing inode.
  bool removed GUARDED_BY(mutex) = false;
  // The last attributes of an unlinked file that is no longer open. Its space has been given back.
  std::unique_ptr<const struct stat> last_seen GUARDED_BY(mutex);
};

using NodePtr = std::shared_ptr<Node>;

}  // namespace tierfs
