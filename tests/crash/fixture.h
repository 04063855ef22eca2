// A mount with a workload on it, and what has to hold after the daemon or the machine has died.
#pragma once

#include "tests/crash/workload.h"
#include "tests/mount/layers.h"

namespace tierfs::test {

class CrashTest : public OverlayTest {
 protected:
  // Tiers 1 and 3 on file systems of their own; before Prepare.
  void UseSeveralDisks();

  // Lower files and directories, the first mount, the first files. Once more: everything from the
  // beginning.
  void Prepare();

  // Remembers the trees of tiers 1 and 2 and the tokens for them as they are.
  void Remember();
  // The operations that follow from the state the mount is in.
  [[nodiscard]] std::vector<Operation> Continue(int count);

  // After the crash and the next mount: what is there is the state after `finished` operations, or
  // after `started`; each file is in one tree; once settled, check finds nothing; everything that
  // differs from what was remembered is listed. Goes on from the state that was found.
  void ExpectRecovered(const std::vector<Operation>& operations, int finished, int started);

  std::mt19937 random_{12345};

 private:
  [[nodiscard]] Model Found(const std::string& unfinished);
  void ExpectChangesListed(int tier);

  Model model_;
  int next_version_ = 1000;
  std::map<int, std::string> tokens_;
  std::map<int, Snapshot> trees_;
};

}  // namespace tierfs::test
