// The entries of a tier as recorded in the catalogue, for comparison with an archive's own listing.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "fs/catalog/observed.h"
#include "fs/jobs/backup/backup.h"

namespace tierfs {

// Owns the entries in memory. It has no lock.
class RecordedTree {
 public:
  // Reads all present entries, keyed by path as Lossy gives it. Costs about 150 bytes an entry.
  [[nodiscard]] static BackupResult<RecordedTree> Read(const Config& config, TierId tier);

  // An entry as an archive lists it. Sizes and dates are compared for regular files only.
  struct Listed {
    std::uint32_t type = 0;           // S_IFMT bits
    std::int64_t size = -1;           // -1: unknown
    std::int64_t mtime = 0;           // nanoseconds
    std::int64_t mtime_rounding = 0;  // how far off the date may be
  };
  void Saw(const std::string& path, const Listed& listed);
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  // Returns the paths that are missing on one side or that differ. Entries of the type `left_out`
  // may be missing from the archive.
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

// Calls `visit` with the path of each present entry of a type (S_IFMT bits). Paths are unchanged
// bytes.
[[nodiscard]] BackupResult<void> ForEachOfType(const Config& config, TierId tier, std::uint32_t type,
                                               const std::function<void(const std::string& path)>& visit);

}  // namespace tierfs
