// The daemon's answers to the clients of its control socket.
#pragma once

#include <string>

#include "fs/catalog/catalog.h"
#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/daemon/live_policy.h"
#include "fs/daemon/settle_job.h"
#include "fs/daemon/snapshots.h"
#include "fs/fuse/mount.h"
#include "fs/jobs/history/history.h"
#include "fs/tree/tree.h"

namespace tierfs {

// The objects that the verbs work on. They must outlive the handlers.
struct Served {
  const Config& config;
  const std::string& mountpoint;
  Catalog& catalog;
  Tree& tree;
  const Mount& mount;
  SettleJob& settle_job;
  LivePolicy& policy;
  history::History* history;  // null if the mount keeps none
  Snapshots* snapshots;       // null if the config has no [snapshot]
};

[[nodiscard]] ControlHandlers VerbsOf(const Served& served);

}  // namespace tierfs
