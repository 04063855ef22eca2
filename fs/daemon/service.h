// One mount, from its config to its end.
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
#include "fs/daemon/options.h"
#include "fs/daemon/settle_job.h"
#include "fs/fuse/mount.h"
#include "fs/recovery/recovery.h"
#include "fs/tree/tree.h"

namespace tierfs {

// The stages of a daemon's life, each after the one before it. The error of each is one line for
// the user. Owns all that a mount is made of; what the stages made goes in the opposite order, at
// the latest with the service.
class Service {
 public:
  using Outcome = tl::expected<void, std::string>;

  Service(const DaemonOptions& options, Background& background) : options_(options), background_(background) {}
  ~Service() { Drain(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  // All the stages. Returns when the mount is gone.
  [[nodiscard]] Outcome Run();

 private:
  // Reads the config and the policy and checks them. Changes nothing.
  [[nodiscard]] Outcome Check();
  // Takes the state directory: from here on no other daemon works on these trees. Opens the layers
  // and prepares the process.
  [[nodiscard]] Outcome LockState();
  // Heals what the last daemon left, and builds the tree over it. The feed begins to compare.
  [[nodiscard]] Outcome Recover();
  // Makes the mount. Requests wait in the kernel.
  [[nodiscard]] Outcome MakeMount();
  // Answers requests and operators until the mount is gone.
  [[nodiscard]] Outcome Serve();
  // Ends what runs, records what is known, and gives everything back.
  void Drain();

  [[nodiscard]] Outcome CheckMountpoint() const;
  [[nodiscard]] Outcome RefuseWork(const WorkProblem& problem) const;

  // STATE/running is there while a daemon serves: the next one that finds it knows that this one
  // was killed.
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
  std::optional<Config> config_;
  std::shared_ptr<const policy::Policy> policy_;
  std::string mountpoint_;
  UniqueFd lock_;
  std::optional<LayerSet> layers_;  // until the tree has them
  std::optional<Running> running_;
  std::unique_ptr<Catalog> catalog_;
  std::unique_ptr<Tree> tree_;
  std::vector<SettleTask> interrupted_;
  std::unique_ptr<Mount> mount_;
  std::unique_ptr<SettleJob> settle_job_;
  std::unique_ptr<ControlServer> control_;
};

// Changes the flags of the mount at `mountpoint` to those of the options.
[[nodiscard]] Service::Outcome Remount(const DaemonOptions& options);

}  // namespace tierfs
