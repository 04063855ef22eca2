// tierctl sync: makes everything that was written through a mount durable.
#include "fs/jobs/sync.h"

#include <iostream>

#include "tools/mounts.h"
#include "tools/output.h"
#include "tools/verb.h"

namespace tierfs::tools {

void AddSync(Verb app, Outcome& outcome) {
  const Verb verb = app.AddVerb("sync", "Makes everything that was written through a mount durable, for the hook of a snapshot");
  auto mount = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  verb.AddOption("MOUNT", *mount, "config file, mountpoint or name").Required();
  verb.AddFlag("--json", *json, "for programs");
  verb.Footer(
      "Writes out the pages of mapped files, then syncs each file system of the tiers and of the state directory once. `sync -f` on\n"
      "the mount cannot do that: the kernel tells a FUSE server nothing of it. Works mounted and unmounted. Exit code 3: a file system\n"
      "reported an error, or the daemon does not answer.");
  verb.OnRun([mount, json, &outcome] {
    const auto config = ConfigFor(*mount, outcome);
    if (!config) return;
    const auto done = SyncMount(*config);
    if (!done) {
      std::cerr << done.error() << "\n";
      outcome.code = kCannot;
    } else if (*json) {
      PrintJson({{"mapped", done->mapped}, {"file_systems", done->file_systems}});
    } else {
      std::cout << "synced " << done->file_systems.size() << " file systems, " << done->mapped << " files that may be mapped\n";
    }
  });
}

}  // namespace tierfs::tools
