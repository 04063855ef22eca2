// A mount with a workload on it, and the checks after a crash of the daemon or the machine.
#pragma once

#include "tests/crash/workload.h"
#include "tests/mount/layers.h"

namespace tierfs::test {

class CrashTest : public OverlayTest {
 protected:
  // Puts tiers 1 and 3 on file systems of their own. Call it before Prepare.
  void UseSeveralDisks();

  // Creates the lower files and directories, mounts, and creates the first files. A second call
  // starts over from empty trees.
  void Prepare();

  // Remembers the current trees of tiers 1 and 2, and a token for each.
  void Remember();
  // Makes `count` operations that continue from the current state of the mount.
  [[nodiscard]] std::vector<Operation> Continue(int count);

  // Call it after the crash and the next mount. The tree has to be in the state after `finished` or
  // after `started` operations, each file in exactly one tier and with as many links as names. Once
  // settled, `check` finds nothing, and a listing names everything that differs from the remembered
  // trees. The test continues from the state found.
  void ExpectRecovered(const std::vector<Operation>& operations, int finished, int started);

  std::mt19937 random_{12345};

 private:
  // Runs `check`. `story` is told with a finding.
  void ExpectNothingToMend(const std::string& story) const;
  void ExpectLinksCounted() const;
  [[nodiscard]] Model Found(const std::string& unfinished);
  void ExpectChangesListed(int tier);

  bool several_disks_ = false;
  Model model_;
  int next_version_ = 1000;
  std::map<int, std::string> tokens_;
  std::map<int, Snapshot> trees_;
};

}  // namespace tierfs::test
