// What the tiers and lower layers of a randomised run are made of.
#pragma once

#include <string>

#include "tests/model/names.h"

namespace tierfs::test {

struct Layout {
  const char* name;
  bool several_disks;  // the tiers are on different file systems
  bool lowers;         // there are lower layers
};

// Fills a lower layer with random files, directories, symlinks, devices, xattrs. `marks`: also with what images of container tools hold,
// whiteouts and opaque directories.
void FillLower(Random& random, const std::string& directory, bool marks);

}  // namespace tierfs::test
