#include "fs/daemon/service.h"

#include <fcntl.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include "fs/config/identity.h"
#include "fs/config/tier_locks.h"
#include "fs/daemon/verbs.h"
#include "fs/os/mount_table.h"
#include "fs/recovery/recovery.h"

namespace tierfs {
namespace fs = std::filesystem;
namespace {

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

// Every open file of every user of the mount uses a descriptor of the daemon.
void RaiseFileLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlimit wanted{1'048'576, std::max<rlim_t>(limit.rlim_max, 1'048'576)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// The kernel holds a user's write to the user's own limit, before it asks the daemon. The limit of
// the shell that mounted is not for other users, and would kill the daemon by SIGXFSZ.
void LiftSizeLimit() {
  ::signal(SIGXFSZ, SIG_IGN);
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  if (::setrlimit(RLIMIT_FSIZE, &unlimited) == 0) return;
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

constexpr int kLockPatienceMs = 10'000;
// A daemon that keeps a history commits the last changes before it ends.
constexpr int kHistoryPatienceMs = 60'000;
constexpr int kLockStepMs = 20;
// A daemon that ends closes its connection before it unmounts.
constexpr int kUnmountMs = 500;

bool IsMounted(const Config& config) {
  const auto mounts = TierfsMounts();
  return std::any_of(mounts.begin(), mounts.end(), [&](const MountedFs& each) { return each.config == config.file; });
}

// Takes the lock that keeps a second daemon off the same trees. The service holds it until it is
// drained.
tl::expected<UniqueFd, std::string> TakeLock(const Config& config) {
  const std::string path = config.state + "/lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  // A disk that has become read-only can still be served for reading.
  if (!lock && errno == EROFS) lock = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock) {
    return tl::unexpected(ConfigError{
        config.file, config.LineOf("state"),
        "cannot use the state directory: " + path + ": " + std::strerror(errno) + "; `tierctl init " + config.file + "` makes it"}
                              .Render());
  }
  // A daemon unmounted a moment ago may still be closing its files. A daemon that serves a mount is
  // in the mount table.
  const int longest = config.version ? kHistoryPatienceMs : kLockPatienceMs;
  for (int patience = longest; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; patience -= kLockStepMs) {
    const bool mounted = patience <= longest - kUnmountMs && IsMounted(config);
    if (mounted || patience <= 0) {
      const std::string why = mounted ? "is mounted already; `tierctl status` shows where"
                                      : "is unmounted, but its daemon has not ended yet; `journalctl -t tierfs/" + config.name +
                                            "` may say why; try again later";
      return tl::unexpected(ConfigError{config.file, config.LineOf("name"), "'" + config.name + "' " + why}.Render());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(kLockStepMs));
  }
  return lock;
}

FeedOptions FeedOptionsOf(const Config& config) {
  FeedOptions feed;
  for (const TierId tier : config.feed) feed.trees[LayerOf(tier)] = config.tiers[static_cast<std::size_t>(NumberOf(tier) - 1)];
  return feed;
}

}  // namespace

Service::Running::Running(const std::string& state_dir) : path_(state_dir + "/running") {
  killed_ = ::access(path_.c_str(), F_OK) == 0;
  const UniqueFd mark(::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const UniqueFd directory(::open(state_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // If the mark cannot be made, the state directory is not writable, and no other state could be
  // written either.
  if (mark && directory) ::fsync(directory.get());
}

Service::Running::~Running() { ::unlink(path_.c_str()); }

Service::Outcome Service::Run() {
  using Stage = Outcome (Service::*)();
  for (const Stage stage : {&Service::Check, &Service::LockState, &Service::Recover, &Service::MakeMount, &Service::Serve}) {
    if (Outcome done = (this->*stage)(); !done) return done;
  }
  Drain();
  return {};
}

Service::Outcome Service::Check() {
  auto config = LoadConfig(options_.config);
  if (!config) return tl::unexpected(config.error().Render());
  config_ = std::move(*config);
  const std::string given = options_.mountpoint.empty() ? config_->mountpoint : options_.mountpoint;
  if (given.empty())
    return tl::unexpected(ConfigError{config_->file, 1, "no mountpoint; name one on the command line or as 'mountpoint'"}.Render());
  if (const auto paths = CheckPaths(*config_, given); !paths) return tl::unexpected(paths.error().Render());
  if (const auto identity = CheckIdentity(*config_); !identity) return tl::unexpected(identity.error().Render());
  const policy::ParseResult policy = LoadPolicy(*config_);
  if (!policy.policy) return tl::unexpected(FirstErrorOf(policy));
  policy_ = policy.policy;
  mountpoint_ = fs::canonical(given).string();
  return {};
}

Service::Outcome Service::LockState() {
  auto lock = TakeLock(*config_);
  if (!lock) return tl::unexpected(lock.error());
  lock_ = std::move(*lock);
  auto tier_locks = LockTiers(*config_);
  if (!tier_locks) return tl::unexpected(tier_locks.error().Render());
  tier_locks_ = std::move(*tier_locks);
  if (Outcome usable = CheckMountpoint(); !usable) return usable;
  UniqueFd over;
  if (config_->over) {
    over = UniqueFd(::open(mountpoint_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!over) return Say("cannot open the directory to mount over: " + std::string(std::strerror(errno)));
  }
  StartLogging(options_, config_->name);
  RaiseFileLimit();
  LiftSizeLimit();
  if (const Status ready = PrepareIdentitySwitching(); !ready) return Say(Describe(ready.error()));
  auto layers = LayerSet::Open({config_->tiers.begin(), config_->tiers.end()}, config_->lower, std::move(over),
                               {options_.noatime, config_->snapshot.has_value() && ::geteuid() == 0});
  if (!layers) return Say(Describe(layers.error()));
  layers_ = std::move(*layers);
  return {};
}

Service::Outcome Service::CheckMountpoint() const {
  std::error_code problem;
  if (options_.nonempty || config_->over || fs::is_empty(mountpoint_, problem)) return {};
  return tl::unexpected(ConfigError{config_->file, std::max<std::size_t>(config_->LineOf("mountpoint"), 1),
                                    "the mountpoint " + mountpoint_ +
                                        " is not empty; use an empty directory, -o nonempty to hide what is in it, or over = true to "
                                        "have it as the lowest layer"}
                            .Render());
}

Service::Outcome Service::Recover() {
  // A read-only mount leaves the mark, and the recovery, to the next mount.
  const auto& flags = options_.kernel_options;
  if (std::find(flags.begin(), flags.end(), "ro") == flags.end()) running_.emplace(config_->state);
  if (running_ && running_->LastOneWasKilled()) HealTrees(*layers_);
  if (const auto ready = PrepareWorkDirectories(*layers_, config_->state); !ready) return RefuseWork(ready.error());
  catalog_ = std::make_unique<Catalog>(config_->state, FeedOptionsOf(*config_));
  interrupted_ = FinishIntents(*layers_, catalog_->journal());

  TreeOptions options;
  options.journal = &catalog_->journal();
  if (catalog_->feed() != nullptr) options.feed = catalog_->feed();
  if (config_->version && running_) options.feed = &actor_feed_.emplace(*catalog_->feed(), actor_log_);
  options.cache_timeout = config_->cache_timeout;
  options.passthrough = options_.passthrough && ::geteuid() == 0;
  tree_ = std::make_unique<Tree>(std::move(*layers_), policy_, options);
  layers_.reset();
  if (config_->snapshot) {
    snapshots_ = std::make_unique<Snapshots>(*config_);
    if (options.passthrough) snapshots_->WatchTiers(tree_->layers());
  }
  if (ChangeFeed* feed = catalog_->feed()) feed->AskForOpenFiles([this] { tree_->ReportWriters(); });
  catalog_->Start();
  return {};
}

Service::Outcome Service::RefuseWork(const WorkProblem& problem) const {
  const std::string number = std::to_string(problem.tier + 1);
  const std::string& path = config_->tiers[problem.tier];
  const std::string why = problem.error.code == EXDEV
                              ? " is the root of its file system, and work files need a place beside the tier on the same file system; "
                                "use a directory in it, such as " +
                                    path + "/tree"
                              : ": cannot make a directory for work files beside it: " + Describe(problem.error);
  return tl::unexpected(ConfigError{config_->file, config_->LineOf("tier." + number), "tier " + number + why}.Render());
}

Service::Outcome Service::MakeMount() {
  MountOptions options;
  options.source = config_->file;
  options.kernel_options = options_.kernel_options;
  options.debug = options_.debug;
  options.io_uring = options_.io_uring;
  if (::geteuid() == 0) {
    // libfuse defaults to nosuid,nodev. A system's tree must behave like the directory that it
    // replaces.
    options.kernel_options.insert(options.kernel_options.begin(), {"allow_other", "suid", "dev"});
  }
  mount_ = std::make_unique<Mount>(*tree_, std::move(options));
  if (const Status started = mount_->Start(mountpoint_); !started)
    return Say("cannot mount at " + mountpoint_ + ": " + Describe(started.error()));
  return {};
}

Service::Outcome Service::Serve() {
  tree_->settle_queue().Resume(std::move(interrupted_));
  settle_job_ = std::make_unique<SettleJob>(tree_->settlement());
  live_policy_.emplace(*config_, tree_->classifier());
  if (actor_feed_) StartHistory();
  if (snapshots_) snapshots_->Start({*tree_, *catalog_, *mount_, mountpoint_});
  const Served served{*config_, mountpoint_, *catalog_, *tree_, *mount_, *settle_job_, *live_policy_, history_.get(), snapshots_.get()};
  auto control = ControlServer::Start(config_->state, VerbsOf(served));
  if (control) {
    control_ = std::move(*control);
  } else {
    spdlog::error("cannot make the control socket, so tierctl cannot reach this mount: {}", Describe(control.error()));
  }
  hangup_.Start([served] {
    if (const auto reloaded = served.policy.Reload({}); !reloaded) spdlog::error("SIGHUP: {}", reloaded.error());
  });
  spdlog::info("{} mounted at {}, {} rules", config_->name, mountpoint_, policy_->rules().size());
  if (const Status ended = mount_->Serve([this] { background_.Ready(); }); !ended) return Say(Describe(ended.error()));
  spdlog::info("{} unmounted", config_->name);
  return {};
}

void Service::StartHistory() {
  history::TreeHost host;
  host.open_for_writing = [this] { return tree_->WrittenIn(history::ActorFeed::kLayer); };
  host.apply_gate_rules = [this] { return live_policy_->ApplyGate(); };
  host.settle = [this](const std::string& path) { tree_->settle_queue().Later(path); };
  history_ = std::make_unique<history::History>(*config_, *catalog_, actor_log_, std::move(host));
  history_->Start();
}

void Service::Drain() {
  if (history_) history_->EndWaiting();  // an operator may wait for a push that hangs
  control_.reset();                      // no more requests from operators
  if (snapshots_) snapshots_->Stop();
  hangup_.Stop();
  settle_job_.reset();
  if (tree_) tree_->settle_queue().Stop();  // its thread tells the kernel of moves
  mount_.reset();                           // no more requests from the kernel
  history_.reset();                         // commits the last changes
  tree_.reset();
  snapshots_.reset();
  catalog_.reset();
  running_.reset();
  tier_locks_.clear();
  lock_.Reset();
}

Service::Outcome Remount(const DaemonOptions& options) {
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
