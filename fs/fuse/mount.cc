#include "fs/fuse/mount.h"

#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>

#include "fs/fuse/libfuse.h"
#include "fs/fuse/operations.h"
#include "fs/os/fault.h"
#include "fs/os/unique_fd.h"

namespace tierfs {
namespace {

constexpr unsigned kMaxWrite = 1U << 20;
constexpr unsigned kRequestHeader = 4096;  // libfuse's overhead for a request besides its data
// A backing file system must not itself be stacked. In return, one more stacking file system may
// stand on tierfs (kernel: FILESYSTEM_MAX_STACK_DEPTH).
constexpr unsigned kStackDepth = 1;

// The kernel's interface for backing files, in linux/fuse.h since 6.9. Older headers lack it.
struct BackingMap {
  std::int32_t fd;
  std::uint32_t flags;
  std::uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, std::uint32_t);

// Whether a pipe of this size is allowed. A size above /proc/sys/fs/pipe-max-size needs
// CAP_SYS_RESOURCE. If it is refused, libfuse makes, tries and closes a pipe at each request.
bool PipesHold(std::size_t bytes) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const UniqueFd from(ends[0]);
  const UniqueFd to(ends[1]);
  return ::fcntl(from.get(), F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0;
}

// The number of requests from one core that may be served at the same time.
constexpr unsigned kQueueDepth = 16;
constexpr const char* kUringSwitch = "/sys/module/fuse/parameters/enable_uring";

bool KernelAllowsUring() {
  std::ifstream parameter(kUringSwitch);
  char value = 'N';
  return parameter.get(value) && (value == 'Y' || value == '1');
}

// Returns the reason why no ring is available (sysctl kernel.io_uring_disabled, seccomp); "" if one
// is. libfuse would fall back silently.
std::string WhyNoRing() {
  io_uring_params parameters{};
  const UniqueFd ring(static_cast<int>(::syscall(__NR_io_uring_setup, 1, &parameters)));
  return ring ? "" : std::string("io_uring_setup: ") + std::strerror(errno);
}

}  // namespace

Mount::Mount(Tree& tree, MountOptions options) : tree_(tree), options_(std::move(options)) { facts_.libfuse = fuse_pkgversion(); }

Mount::~Mount() {
  if (session_ != nullptr) fuse_session_destroy(session_);
}

Status Mount::Start(const std::string& mountpoint) {
  std::vector<std::string> words{"tierfs", "-o", "fsname=" + options_.source, "-o", "subtype=tierfs", "-o", "default_permissions"};
  for (const std::string& option : options_.kernel_options) {
    words.emplace_back("-o");
    words.push_back(option);
  }
  const std::string why_not_uring = WhyNotUring();
  {
    const Lock facts(facts_mutex_);
    facts_.transport_reason = why_not_uring;
    facts_.transport = why_not_uring.empty() ? "io_uring" : "/dev/fuse";
  }
  if (why_not_uring.empty()) {
    words.emplace_back("-o");
    words.emplace_back("io_uring,io_uring_q_depth=" + std::to_string(kQueueDepth));
  }
  if (options_.debug) words.emplace_back("-d");
  std::vector<char*> arguments;
  arguments.reserve(words.size());
  for (std::string& word : words) arguments.push_back(word.data());
  fuse_args args = FUSE_ARGS_INIT(static_cast<int>(arguments.size()), arguments.data());
  session_ = fuse_session_new(&args, &Operations(), sizeof(fuse_lowlevel_ops), this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return Fail(EINVAL, "mount options");
  tree_.Attach(this);
  mountpoint_ = mountpoint;
  if (fuse_session_mount(session_, mountpoint.c_str()) != 0) return FailErrno("mount");
  return {};
}

std::string Mount::WhyNotUring() const {
  if (!options_.io_uring.value_or(true)) return "switched off by an option";
  if (!kHasUring) return "built with a libfuse older than 3.18";
  if (!options_.io_uring && !kAnswersFromAnyThread) return "with this libfuse one long request holds up others";
  if (!KernelAllowsUring())
    return "the kernel has none (Linux 6.14 and later do), or it is not switched on: echo Y > " + std::string(kUringSwitch);
  return WhyNoRing();
}

Workers* Mount::WorkersFor(fuse_req* request) { return kAnswersFromAnyThread && CameOverUring(request) ? &workers_ : nullptr; }

Status Mount::Serve(std::function<void()> ready) {
  ready_ = std::move(ready);
  if (fuse_set_signal_handlers(session_) != 0) return Fail(EIO, "signal handlers");
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  // Allow more threads than cores: a long copy-up holds a thread, and other requests must not wait
  // for it. Threads are created when needed. Only a few stay idle, because the kernel wakes idle
  // threads in turn and each would have cold caches.
  fuse_loop_cfg_set_max_threads(config, std::clamp(2 * cores, 64U, 128U));
  fuse_loop_cfg_set_idle_threads(config, std::clamp(2 * cores, 4U, 32U));
  const int result = fuse_session_loop_mt(session_, config);
  fuse_loop_cfg_destroy(config);
  fuse_remove_signal_handlers(session_);
  Unmount();
  if (result < 0) return Fail(-result, "the FUSE loop");
  return {};
}

void Mount::Unmount() {
  // libfuse closes the connection before it unmounts. For a moment the mount would look like one
  // whose daemon has died.
  pollfd connection{fuse_session_fd(session_), 0, 0};
  const bool gone = ::poll(&connection, 1, 0) == 1 && (connection.revents & POLLERR) != 0;
  if (!gone && ::umount2(mountpoint_.c_str(), MNT_DETACH) != 0) spdlog::debug("umount: {}", std::strerror(errno));
  // Notifications already written happen before the close of the descriptor.
  (void)notified_.load(std::memory_order_acquire);
  fuse_session_unmount(session_);
}

void Mount::Initialise(fuse_conn_info* connection) {
  const auto want = [connection](std::uint64_t capability) { return WantFeature(*connection, capability); };
  // The kernel checks ACLs; tierfs stores them. Creations carry the caller's umask and apply the
  // default ACL of their directory.
  want(FUSE_CAP_POSIX_ACL);
  want(FUSE_CAP_DONT_MASK);
  want(FUSE_CAP_PARALLEL_DIROPS);
  want(FUSE_CAP_ATOMIC_O_TRUNC);
  want(FUSE_CAP_AUTO_INVAL_DATA);
  want(FUSE_CAP_READDIRPLUS);
  want(FUSE_CAP_READDIRPLUS_AUTO);
  want(FUSE_CAP_CACHE_SYMLINKS);
  want(FUSE_CAP_IOCTL_DIR);
  want(FUSE_CAP_EXPORT_SUPPORT);
  // The backing file system clears suid, sgid and capabilities itself, so the kernel need not ask
  // for security.capability before each write.
  WantKillPriv(*connection);
  RefuseFeature(*connection, FUSE_CAP_WRITEBACK_CACHE);
  RefuseInterrupts(*connection);  // no operation ends early when its caller gets a signal
  kernel_opens_directories_ = (connection->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
  connection->max_write = kMaxWrite;
  connection->max_readahead = kMaxWrite;
  connection->max_background = 64;
  connection->time_gran = 1;

  {
    const Lock facts(facts_mutex_);
    if (!tree_.WantsPassthrough()) {
      facts_.passthrough_reason = "switched off by an option";
    } else if (!kHasPassthrough) {
      facts_.passthrough_reason = "built with a libfuse older than 3.17";
    } else {
      facts_.passthrough = passthrough_ = want(kPassthroughFeature);
      SetStackDepth(*connection, kStackDepth);
      if (!facts_.passthrough) facts_.passthrough_reason = "this kernel has none (Linux 6.9 and later do)";
    }
  }
  // Splicing moves data without a copy, but costs a pipe for each request without data. Enable it
  // only if data passes through the daemon.
  const bool splice = !passthrough_ && PipesHold(kMaxWrite + kRequestHeader);
  for (const std::uint64_t capability : {FUSE_CAP_SPLICE_READ, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE}) {
    if (splice) {
      want(capability);
    } else {
      RefuseFeature(*connection, capability);
    }
  }
  if (ready_) ready_();
  Fault::Here("mount.ready");
}

std::int32_t Mount::OpenBacking(int fd) {
  if (!passthrough_) return 0;
  BackingMap map{fd, 0, 0};
  const int id = ::ioctl(fuse_session_fd(session_), kBackingOpen, &map);
  if (id > 0) return id;
  spdlog::debug("passthrough refused: {}", std::strerror(errno));
  return 0;
}

void Mount::CloseBacking(std::int32_t id) {
  auto number = static_cast<std::uint32_t>(id);
  ::ioctl(fuse_session_fd(session_), kBackingClose, &number);
}

void Mount::InvalidateAttributes(NodeId node) {
  fuse_lowlevel_notify_inval_inode(session_, node.value, -1, 0);
  notified_.fetch_add(1, std::memory_order_release);
}

void Mount::InvalidateData(NodeId node) {
  fuse_lowlevel_notify_inval_inode(session_, node.value, 0, 0);
  notified_.fetch_add(1, std::memory_order_release);
}

void Mount::InvalidateEntry(NodeId parent, const std::string& name) {
  fuse_lowlevel_notify_inval_entry(session_, parent.value, name.c_str(), name.size());
  notified_.fetch_add(1, std::memory_order_release);
}

}  // namespace tierfs
