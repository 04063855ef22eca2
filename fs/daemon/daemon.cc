#include "fs/daemon/daemon.h"

#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "fs/catalog/catalog.h"
#include "fs/config/config.h"
#include "fs/config/identity.h"
#include "fs/control/control.h"
#include "fs/daemon/catalog_verbs.h"
#include "fs/daemon/settle_job.h"
#include "fs/fuse/mount.h"
#include "fs/os/mount_table.h"
#include "fs/recovery/intents.h"
#include "fs/recovery/interrupted.h"
#include "fs/tree/tree.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

using Outcome = tl::expected<void, std::string>;

tl::unexpected<std::string> Say(std::string line) { return tl::unexpected("tierfs: " + std::move(line)); }

std::string Describe(const Error& error) { return std::string(error.step) + ": " + std::strerror(error.code); }

void StartLogging(const DaemonOptions& options, const std::string& name) {
  if (!options.foreground) {
    auto sink = std::make_shared<spdlog::sinks::syslog_sink_mt>("tierfs/" + name, LOG_PID, LOG_DAEMON, true);
    sink->set_pattern("%v");
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("tierfs", std::move(sink)));
  } else {
    spdlog::set_default_logger(spdlog::stderr_color_mt("tierfs"));
    spdlog::set_pattern("%H:%M:%S.%e %^%l%$ %v");
  }
  spdlog::set_level(spdlog::level::from_str(options.log_level));
}

// Every open file of every user of the mount is a descriptor here.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlimit wanted{1'048'576, std::max<rlim_t>(limit.rlim_max, 1'048'576)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

constexpr int kLockPatienceMs = 10'000;
constexpr int kLockStepMs = 20;
constexpr int kUnmountMs = 500;  // a daemon that ends closes its connection before it takes its mount away

bool IsMounted(const Config& config) {
  const auto mounts = TierfsMounts();
  return std::any_of(mounts.begin(), mounts.end(), [&](const MountedFs& each) { return each.config == config.file; });
}

// The lock that keeps a second daemon away from the same trees. Held until the process ends.
tl::expected<UniqueFd, std::string> LockState(const Config& config) {
  const std::string path = config.state + "/lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  // On a disk that has become read-only the trees can still be shown.
  if (!lock && errno == EROFS) lock = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock) {
    return tl::unexpected(ConfigError{
        config.file, config.LineOf("state"),
        "cannot use the state directory: " + path + ": " + std::strerror(errno) + "; `tierctl init " + config.file + "` makes it"}
                              .Render());
  }
  // A daemon that was unmounted a moment ago is still closing its files; one that serves a mount shows in the mount table.
  for (int patience = kLockPatienceMs; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; patience -= kLockStepMs) {
    if (patience <= 0 || (patience <= kLockPatienceMs - kUnmountMs && IsMounted(config))) {
      return tl::unexpected(
          ConfigError{config.file, config.LineOf("name"), "'" + config.name + "' is mounted already; `tierctl status` shows where"}
              .Render());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kLockStepMs));
  }
  return lock;
}

// STATE/running is there while a daemon serves: one that finds it knows that the last one was killed.
class Running {
 public:
  explicit Running(const std::string& state_dir) : path_(state_dir + "/running") {
    killed_ = ::access(path_.c_str(), F_OK) == 0;
    const UniqueFd mark(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const UniqueFd directory(::open(state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Where it cannot be made the state directory cannot be written to, and nothing else could be either.
    if (mark && directory) ::fsync(directory.get());
  }
  ~Running() { ::unlink(path_.c_str()); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  [[nodiscard]] bool LastOneWasKilled() const { return killed_; }

 private:
  const std::string path_;
  bool killed_ = false;
};

std::string FirstError(const policy::ParseResult& policy) {
  std::string text = policy.errors.front().Headline();
  if (policy.errors.size() > 1) text += " (and " + std::to_string(policy.errors.size() - 1) + " more: tierctl policy check)";
  return text;
}

FeedOptions FeedOptionsOf(const Config& config) {
  FeedOptions feed;
  for (const TierId tier : config.feed) feed.trees[LayerOf(tier)] = config.tiers[static_cast<std::size_t>(NumberOf(tier) - 1)];
  return feed;
}

nlohmann::json StatusOf(Tree& tree, Catalog& catalog, const Mount& mount, const Config& config, const std::string& mountpoint) {
  const MountFacts facts = mount.Facts();
  const Tree::Counters counters = tree.Count();
  return {{"name", config.name},
          {"config", config.file},
          {"mountpoint", mountpoint},
          {"pid", ::getpid()},
          {"version", TIERFS_VERSION},
          {"libfuse", facts.libfuse},
          {"transport", facts.transport},
          {"transport_reason", facts.transport_reason},
          {"passthrough", facts.passthrough},
          {"passthrough_reason", facts.passthrough_reason},
          {"nodes", counters.nodes},
          {"open_handles", counters.open.handles},
          {"passthrough_handles", counters.open.passthrough},
          {"settling", tree.settle_queue().Pending()},
          {"requests", mount.counters().Read()},
          {"waiting_for_close", tree.settle_queue().WaitingForClose()},
          {"rules", tree.classifier().CurrentPolicy()->rules().size()},
          {"catalogue", CatalogStatus(catalog)}};
}

// {"policy": FILE}: that file instead of the config's policy.
nlohmann::json Reload(Tree& tree, const Config& config, const nlohmann::json& request) {
  const std::string file = request.value("policy", "");
  const auto policy = file.empty() ? LoadPolicy(config) : LoadPolicyFile(file);
  if (!policy.policy) return {{"ok", false}, {"error", FirstError(policy) + "; the old policy stays"}};
  const bool dry_run = request.value("dry_run", false);
  if (!dry_run) {
    tree.classifier().SetPolicy(policy.policy);
    spdlog::info("policy reloaded, {} rules", policy.policy->rules().size());
  }
  return {{"rules", policy.policy->rules().size()}, {"applied", !dry_run}};
}

// Copies are made outside the trees, on the same mount.
Outcome PrepareWork(const Config& config, LayerSet& layers) {
  if (!layers.MakesCopies()) return {};
  for (LayerIndex tier = 0; tier < kTierCount; ++tier) {
    const Status ready = layers.PrepareWork(tier, config.state);
    if (ready) continue;
    const std::string number = std::to_string(tier + 1);
    const std::string why = ready.error().code == EXDEV
                                ? " is the root of its file system; files that come from another one are made beside the tier, so use a "
                                  "directory in it, as " +
                                      layers[tier].path + "/tree"
                                : ": no place for work files beside it: " + Describe(ready.error());
    return tl::unexpected(ConfigError{config.file, config.LineOf("tier." + number), "tier " + number + why}.Render());
  }
  return {};
}

}  // namespace

Outcome RunDaemon(const DaemonOptions& options, Background& background) {
  const auto config = LoadConfig(options.config);
  if (!config) return tl::unexpected(config.error().Render());
  const std::string given = options.mountpoint.empty() ? config->mountpoint : options.mountpoint;
  if (given.empty())
    return tl::unexpected(ConfigError{config->file, 1, "no mountpoint; name one on the command line or as 'mountpoint'"}.Render());
  if (const auto paths = CheckPaths(*config, given); !paths) return tl::unexpected(paths.error().Render());
  if (const auto identity = CheckIdentity(*config); !identity) return tl::unexpected(identity.error().Render());
  const policy::ParseResult policy = LoadPolicy(*config);
  if (!policy.policy) return tl::unexpected(FirstError(policy));
  auto lock = LockState(*config);
  if (!lock) return tl::unexpected(lock.error());

  const std::string mountpoint = fs::canonical(given).string();
  std::error_code problem;
  if (!options.nonempty && !config->over && !fs::is_empty(mountpoint, problem)) {
    return tl::unexpected(ConfigError{config->file, std::max<std::size_t>(config->LineOf("mountpoint"), 1),
                                      "the mountpoint " + mountpoint +
                                          " is not empty; use an empty directory, -o nonempty to hide what is in it, or over = true to "
                                          "have it as the lowest layer"}
                              .Render());
  }
  UniqueFd over;
  if (config->over) {
    over = UniqueFd(::open(mountpoint.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!over) return Say("cannot open the directory to mount over: " + std::string(std::strerror(errno)));
  }

  StartLogging(options, config->name);
  RaiseFileLimit();
  if (const Status ready = PrepareIdentitySwitching(); !ready) return Say(Describe(ready.error()));
  auto layers = LayerSet::Open({config->tiers.begin(), config->tiers.end()}, config->lower, std::move(over), options.noatime);
  if (!layers) return Say(Describe(layers.error()));
  std::optional<Running> running;
  // A mount that may not write leaves the mark, and the work, to the next.
  const auto& flags = options.kernel_options;
  if (std::find(flags.begin(), flags.end(), "ro") == flags.end()) running.emplace(config->state);
  if (running && running->LastOneWasKilled()) {
    const auto finished = FinishInterrupted(*layers);
    if (!finished) {
      spdlog::error("looking for what the last daemon left unfinished: {}", Describe(finished.error()));
    } else if (*finished > 0) {
      spdlog::warn("the last daemon was killed: {} entries put right", *finished);
    }
  }
  if (auto ready = PrepareWork(*config, *layers); !ready) return ready;
  Catalog catalog(config->state, FeedOptionsOf(*config));
  TreeOptions tree_options;
  tree_options.journal = &catalog.journal();
  if (catalog.feed() != nullptr) tree_options.feed = catalog.feed();
  tree_options.cache_timeout = config->cache_timeout;
  tree_options.passthrough = options.passthrough && ::geteuid() == 0;
  Tree tree(std::move(*layers), policy.policy, tree_options);

  MountOptions mount_options;
  mount_options.source = config->file;
  mount_options.kernel_options = options.kernel_options;
  mount_options.debug = options.debug;
  mount_options.io_uring = options.io_uring;
  if (::geteuid() == 0) {
    // libfuse starts from nosuid,nodev; a system's tree is expected to behave like the directory that it replaces.
    mount_options.kernel_options.insert(mount_options.kernel_options.begin(), {"allow_other", "suid", "dev"});
  }
  if (ChangeFeed* feed = catalog.feed()) feed->AskForOpenFiles([&tree] { tree.ReportWriters(); });
  std::vector<SettleTask> interrupted = FinishIntents(tree.layers(), catalog.journal());
  catalog.Start();
  Mount mount(tree, std::move(mount_options));
  if (const Status started = mount.Start(mountpoint); !started)
    return Say("cannot mount at " + mountpoint + ": " + Describe(started.error()));

  tree.settle_queue().Resume(std::move(interrupted));
  SettleJob settle(tree);
  auto verbs = CatalogVerbs(catalog, tree);
  verbs["status"] = [&](const nlohmann::json&) { return StatusOf(tree, catalog, mount, *config, mountpoint); };
  verbs["settle"] = [&](const nlohmann::json& request) { return settle.Run(request); };
  verbs["settle-report"] = [&](const nlohmann::json&) { return settle.Report(); };
  verbs["settle-cancel"] = [&](const nlohmann::json&) { return settle.Cancel(); };
  verbs["reload"] = [&](const nlohmann::json& request) { return Reload(tree, *config, request); };
  auto control = ControlServer::Start(config->state, std::move(verbs));
  if (!control) spdlog::error("no control socket, tierctl cannot reach this mount: {}", Describe(control.error()));
  spdlog::info("{} mounted at {}, {} rules", config->name, mountpoint, policy.policy->rules().size());
  const Status served = mount.Serve([&background] { background.Ready(); });
  control = Fail(ESHUTDOWN, "stopped");  // before the tree goes
  if (!served) return Say(Describe(served.error()));
  spdlog::info("{} unmounted", config->name);
  return {};
}

Outcome Remount(const DaemonOptions& options) {
  unsigned long flags = MS_REMOUNT;
  for (const std::string& option : options.kernel_options) {
    if (option == "ro") flags |= MS_RDONLY;
    if (option == "noexec") flags |= MS_NOEXEC;
    if (option == "nosuid") flags |= MS_NOSUID;
    if (option == "nodev") flags |= MS_NODEV;
    if (option == "sync") flags |= MS_SYNCHRONOUS;
    if (option == "dirsync") flags |= MS_DIRSYNC;
  }
  if (options.noatime) flags |= MS_NOATIME;
  if (options.mountpoint.empty()) return Say("remount needs the mountpoint");
  if (::mount(nullptr, options.mountpoint.c_str(), nullptr, flags, nullptr) != 0) {
    return Say("cannot remount " + options.mountpoint + ": " + std::strerror(errno));
  }
  return {};
}

}  // namespace tierfs
