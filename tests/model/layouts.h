// What the tiers and lower layers of a randomised run are made of.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "tests/model/names.h"
#include "tests/mount/layers.h"

namespace tierfs::test {

struct Layout {
  const char* name;
  bool several_disks;  // the tiers are on different file systems
  bool lowers;         // there are lower layers
  // What each tier is on, of its own; none: the disk of the tests. With `several_disks` false the
  // first one is for all four.
  std::array<std::optional<FileSystem>, 4> disks{};
};

// Fills a lower layer with random files, directories, symlinks, devices, xattrs. `marks`: also with
// what images of container tools hold, whiteouts and opaque directories.
void FillLower(Random& random, const std::string& directory, bool marks);

}  // namespace tierfs::test
