// What the tree tells the change feed.
#pragma once

#include <cstdint>
#include <string>

#include "fs/tier/layer.h"

namespace tierfs {

// A call says where to look, nothing more: the truth is read from the trees afterwards, so calls may come late, twice, or in any order, but
// each has to come after the change that it tells of. Thread-safe and cheap.
class Feed {
 public:
  enum class Change : std::uint8_t {
    kAttributes,  // owner, mode, times, xattrs, ACLs
    kName,        // an entry came, went, was replaced or got another name
    kContent,     // it was open for writing, or truncated
    kMapped,      // the same, and a writable mapping of it may live on
    kSubtree,     // a directory came, went, or changed its place, with everything beneath it
  };

  virtual ~Feed() = default;
  // `path` relative to the tree; "" is its root.
  virtual void Touched(LayerIndex layer, std::string path, Change change) = 0;
  // Whether changes in that layer are of interest.
  [[nodiscard]] bool Tracks(LayerIndex layer) const { return tracked_.Has(layer); }

 protected:
  explicit Feed(LayerMask tracked) : tracked_(tracked) {}
  const LayerMask tracked_;
};

}  // namespace tierfs
