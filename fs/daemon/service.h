// The life of one mount, from its config to its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "fs/catalog/catalog.h"
#include "fs/config/config.h"
#include "fs/control/control.h"
#include "fs/daemon/daemonize.h"
#include "fs/daemon/hangup.h"
#include "fs/daemon/live_policy.h"
#include "fs/daemon/options.h"
#include "fs/daemon/settle_job.h"
#include "fs/daemon/snapshots.h"
#include "fs/fuse/mount.h"
#include "fs/jobs/history/history.h"
#include "fs/recovery/recovery.h"
#include "fs/tree/tree.h"

namespace tierfs {

// Owns every part of a mount. The stages of a daemon's life run in the order given here. Each
// returns its error as one line for the user. The parts are destroyed in the opposite order, at the
// latest with the service.
class Service {
 public:
  using Outcome = tl::expected<void, std::string>;

  Service(const DaemonOptions& options, Background& background) : options_(options), background_(background) {}
  ~Service() { Drain(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // Runs all the stages. Returns when the mount is gone.
  [[nodiscard]] Outcome Run();

 private:
  // Reads the config and the policy and checks them. Changes nothing.
  [[nodiscard]] Outcome Check();
  // Locks the state directory: from here on no other daemon works on these trees. Opens the layers
  // and prepares the process.
  [[nodiscard]] Outcome LockState();
  // Repairs the state left by the previous daemon and builds the tree over it. The feed begins to
  // compare.
  [[nodiscard]] Outcome Recover();
  // Makes the mount. Requests wait in the kernel until Serve.
  [[nodiscard]] Outcome MakeMount();
  // Answers the kernel's and the operators' requests until the mount is gone.
  [[nodiscard]] Outcome Serve();
  // Ends the running work, records all known changes and releases everything.
  void Drain();

  void StartHistory();
  [[nodiscard]] Outcome CheckMountpoint() const;
  [[nodiscard]] Outcome RefuseWork(const WorkProblem& problem) const;

  // The file STATE/running exists while a daemon serves. If the next daemon finds it, the previous
  // one was killed.
  class Running {
   public:
    explicit Running(const std::string& state_dir);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    [[nodiscard]] bool LastOneWasKilled() const { return killed_; }

   private:
    const std::string path_;
    bool killed_ = false;
  };

  const DaemonOptions& options_;
  Background& background_;
  Hangup hangup_;  // before every thread
  std::optional<Config> config_;
  std::shared_ptr<const policy::Policy> policy_;
  std::string mountpoint_;
  UniqueFd lock_;
  std::vector<UniqueFd> tier_locks_;
  std::optional<LayerSet> layers_;  // owned here until the tree takes them
  std::optional<Running> running_;
  std::unique_ptr<Catalog> catalog_;
  history::ActorLog actor_log_;
  std::optional<history::ActorFeed> actor_feed_;  // set if this mount keeps a history
  std::unique_ptr<Snapshots> snapshots_;          // set if the config has [snapshot]
  std::unique_ptr<Tree> tree_;
  std::vector<SettleTask> interrupted_;
  std::unique_ptr<Mount> mount_;
  std::unique_ptr<SettleJob> settle_job_;
  std::optional<LivePolicy> live_policy_;
  std::unique_ptr<history::History> history_;
  std::unique_ptr<ControlServer> control_;
};

// Changes the flags of the mount at `mountpoint` to those in the options.
[[nodiscard]] Service::Outcome Remount(const DaemonOptions& options);

}  // namespace tierfs
