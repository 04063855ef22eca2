// The tree's interface to the kernel's side of the mount.
#pragma once

#include <cstdint>
#include <string>

#include "fs/tree/node.h"

namespace tierfs {

// Thread-safe. Calls are made with the mutex of a node held, so they must not call back into the
// tree.
class Kernel {
 public:
  virtual ~Kernel() = default;
  // Registers a backing file for passthrough. Returns a positive ID, or 0 when the kernel refuses
  // it.
  virtual std::int32_t OpenBacking(int fd) = 0;
  virtual void CloseBacking(std::int32_t id) = 0;
  // These drop the kernel's cached attributes of a node, its cached attributes and data, or its
  // entry `name` in a directory.
  virtual void InvalidateAttributes(NodeId node) = 0;
  virtual void InvalidateData(NodeId node) = 0;
  virtual void InvalidateEntry(NodeId parent, const std::string& name) = 0;
};

}  // namespace tierfs
