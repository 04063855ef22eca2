// The result of a lookup in the merged view.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "fs/tier/layer.h"
#include "fs/tree/node.h"

namespace tierfs {

struct Found {
  // A file that was seen or made in `layer`.
  [[nodiscard]] static Found File(const LayerSet& layers, LayerIndex layer, const struct stat& st) {
    Found found;
    found.parts = LayerMask::Only(layer);
    found.st = st;
    found.key = layers.KeyOf(layer, st);
    return found;
  }

  [[nodiscard]] bool Exists() const { return !parts.Empty(); }
  [[nodiscard]] bool IsDir() const { return Exists() && S_ISDIR(st.st_mode); }
  [[nodiscard]] LayerIndex Layer() const { return parts.First(); }

  LayerMask parts;      // where it is: one layer for a file, all that merge for a directory
  LayerMask whiteouts;  // the tiers that hold a whiteout of this name
  struct stat st {};    // for a directory: merged
  BackingKey key;       // of its first part
  // NodeTable::Generation() before the lookup. Unset for a file that no other thread can have
  // moved.
  std::optional<std::uint64_t> generation;
};

// One of the names of an operation.
struct Side {
  NodePtr parent;
  const char* name;
  Found found;
  NodePtr node;  // of the entry found, if the kernel knows it
};

}  // namespace tierfs
