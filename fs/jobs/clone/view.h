// The mounts of a clone.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "fs/jobs/clone/clone.h"
#include "fs/os/result.h"
#include "fs/os/unique_fd.h"

namespace tierfs::clone {

// Turns this process's mount namespace, which has to be its own, into that of a clone. Holds
// descriptors that lead to writable mounts: it has to be gone before the command runs.
class View {
 public:
  // `space_directory` holds what is written; "" is memory.
  View(const Config& config, const Request& request, std::string place, std::string space_directory)
      : config_(config), request_(request), place_(std::move(place)), space_directory_(std::move(space_directory)) {}

  // Makes the clone and enters its mountpoint. Works in steps, each of which needs those before it.
  [[nodiscard]] Outcome<void> Make();

 private:
  struct Protected {
    std::string path;
    UniqueFd place;  // the directory itself
    UniqueFd copy;   // of its mount, read-only
  };

  [[nodiscard]] Outcome<void> OpenDirectories();
  // Returns the read-only copy of the directory's mount.
  [[nodiscard]] Outcome<int> Protect(const std::string& path, const std::string& what);
  void DropMounts();
  [[nodiscard]] Outcome<void> MakeSpace();
  [[nodiscard]] Outcome<void> FillLayers();
  [[nodiscard]] Outcome<void> CoverDirectories();
  [[nodiscard]] Outcome<void> CoverSockets();
  [[nodiscard]] Outcome<void> MountOverlay();
  [[nodiscard]] Outcome<void> GiveRootItsAttributes(int layer) const;
  [[nodiscard]] Outcome<UniqueFd> MakeDirectory(const std::string& name) const;

  const Config& config_;
  const Request& request_;
  const std::string place_;
  const std::string space_directory_;
  unsigned long flags_ = 0;  // of the live mount: MS_NOSUID and the like
  std::vector<Protected> protected_;
  // The layers of the overlayfs; each descriptor belongs to another member.
  std::array<int, kTierCount> tiers_{-1, -1, -1, -1};  // -1: empty
  std::vector<int> lower_;                             // uppermost first
  std::array<UniqueFd, kTierCount> made_;
  UniqueFd over_;
  UniqueFd space_;
};

}  // namespace tierfs::clone
