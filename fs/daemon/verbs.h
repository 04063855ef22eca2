// The daemon's answers to the clients of its control socket.
#pragma once

#include <string>

#include "fs/catalog/catalog.h"
#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/daemon/settle_job.h"
#include "fs/fuse/mount.h"
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
};

// Loads the policy, if it has no error, and logs it. The error is one line for the user.
[[nodiscard]] Answer<protocol::Reload> ReloadPolicy(const Served& served, const protocol::Reload& request);

[[nodiscard]] ControlHandlers VerbsOf(const Served& served);

}  // namespace tierfs
