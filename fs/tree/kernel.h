// What the tree asks of the kernel's side of the mount.
#pragma once

#include <cstdint>
#include <string>

#include "fs/tree/node.h"

namespace tierfs {

// Thread-safe. The calls are made with the mutex of a node held, so they must not come back into
// the tree.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Registers a backing file for passthrough. A positive id, or 0 when the kernel will not have it.
  virtual std::int32_t OpenBacking(int fd) = 0;
  virtual void CloseBacking(std::int32_t id) = 0;
  // Drops the kernel's cached attributes, or attributes and data, of a node, or the entry `name` in
  // a directory.
  virtual void InvalidateAttributes(NodeId node) = 0;
  virtual void InvalidateData(NodeId node) = 0;
  virtual void InvalidateEntry(NodeId parent, const std::string& name) = 0;
};

}  // namespace tierfs
