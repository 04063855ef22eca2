// Reads files again and compares them with the checksums taken when they were last written.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/config/config.h"

namespace tierfs::verify {

struct Request {
  int tier = 0;  // 0: every tier that has checksums
  // Also reads files that have no checksum yet, which shows those that are unreadable.
  bool full = false;
  double rate = 0;  // MiB a second; 0: unlimited
};

struct Corrupt {
  int tier;
  std::string path;
  std::string recorded;  // checksums, hexadecimal
  std::string found;
};

struct Unreadable {
  int tier;
  std::string path;
  int error;  // errno
};

struct Report {
  std::uint64_t files = 0;  // read and compared
  std::uint64_t bytes = 0;
  double seconds = 0;
  std::uint64_t without_checksum = 0;
  std::uint64_t changed = 0;  // changed since the catalogue recorded them, or in use
  std::vector<Corrupt> corrupt;
  std::vector<Unreadable> unreadable;
  [[nodiscard]] bool AllWell() const { return corrupt.empty() && unreadable.empty(); }
};

struct Progress {
  std::uint64_t bytes;
  std::uint64_t all_bytes;
  double seconds;
};

// A file counts as corrupt if its content differs from its checksum while its size and times are
// still those recorded with the checksum. Works with and without a mount. The error is one line:
// the catalogue or a tree cannot be read. `progress` is called a few times a second.
[[nodiscard]] tl::expected<Report, std::string> Verify(const Config& config, const Request& request,
                                                       const std::function<void(const Progress&)>& progress);

}  // namespace tierfs::verify
