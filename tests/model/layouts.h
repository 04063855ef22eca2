// The tiers and lower layers of a randomised run.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

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

// Fills a lower layer with random files, directories, symlinks, devices, xattrs and hard links.
// With `marks` it also gets the marks of container images: whiteouts and opaque directories.
void FillLower(Random& random, const std::string& directory, bool marks);

// Makes files of their own from the names of each file that does not show at all its names. `shown`
// is the merged view of the layers. A plain copy of that view then has the same link counts.
void SplitHiddenLinks(const std::string& shown, const std::vector<std::string>& layers);

}  // namespace tierfs::test
