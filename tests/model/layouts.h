// The tiers and lower layers of a randomised run.
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
  // The file system made for each tier; without one, the disk of the tests is used. Unless
  // `several_disks` is set, the first file system holds all four tiers.
  std::array<std::optional<FileSystem>, 4> disks{};
};

// Fills a lower layer with random files, directories, symlinks, devices and xattrs. With `marks` it
// also gets the marks of container images: whiteouts and opaque directories.
void FillLower(Random& random, const std::string& directory, bool marks);

}  // namespace tierfs::test
