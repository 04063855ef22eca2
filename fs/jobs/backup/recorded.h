// The entries of a tier as the catalogue has them, to hold an archive's own listing against.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "fs/catalog/observed.h"
#include "fs/jobs/backup/backup.h"

namespace tierfs {

class RecordedTree {
 public:
  // All present entries, by path as Lossy gives it: some 150 bytes each.
  [[nodiscard]] static BackupResult<RecordedTree> Read(const Config& config, TierId tier);

  // An entry, as an archive lists it. Sizes and dates are compared of regular files alone.
  struct Listed {
    std::uint32_t type = 0;           // S_IFMT bits
    std::int64_t size = -1;           // -1: not told
    std::int64_t mtime = 0;           // nanoseconds
    std::int64_t mtime_rounding = 0;  // how far off the date may be
  };
  void Saw(const std::string& path, const Listed& listed);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  // The paths that differ: absent on one side, or other. Entries of the type `left_out` need not be
  // in the archive.
  [[nodiscard]] std::vector<std::string> Differing(std::uint32_t left_out) const;

 private:
  struct Entry {
    Observed seen;
    int names = 0;  // several names may look alike
    int listed = 0;
  };
  std::unordered_map<std::string, Entry> entries_;
  std::vector<std::string> differing_;
};

// Calls `visit` with the path of each present entry of a type (S_IFMT bits), bytes as they are.
[[nodiscard]] BackupResult<void> ForEachOfType(const Config& config, TierId tier, std::uint32_t type,
                                               const std::function<void(const std::string& path)>& visit);

}  // namespace tierfs
