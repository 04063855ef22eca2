#include "fs/daemon/snapshots.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <filesystem>

#include "fs/jobs/snapshot/hooks.h"
#include "fs/jobs/snapshot/mappings.h"
#include "fs/os/at_end.h"
#include "fs/os/beneath.h"
#include "fs/os/entries.h"
#include "fs/os/fault.h"
#include "fs/os/inode_handle.h"
#include "fs/os/mount_table.h"

namespace tierfs {
namespace {

constexpr std::chrono::milliseconds kWatchStep{100};
// A snapshot ends before it takes the last space of a disk: this share of it, or this much.
constexpr std::uint64_t kReservedShare = 20;
constexpr std::uint64_t kMostReserved = 1ULL << 30;
constexpr LayerIndex kTrees = 2;  // tiers 1 and 2

tl::unexpected<std::string> Because(const std::string& what, const Error& error) {
  return tl::unexpected(what + ": " + error.step + ": " + std::strerror(error.code));
}

const char* NameOf(SnapshotLevel level) { return level == SnapshotLevel::kBarrier ? "barrier" : "per-file"; }

std::int64_t NanosecondsNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool HasEnded(int process) {
  pollfd waiting{process, POLLIN, 0};
  return ::poll(&waiting, 1, 0) == 1;
}

// The device number of a mount, from what the kernel has cached: no request is sent.
dev_t DeviceOf(const std::string& mountpoint) {
  struct statx st {};
  if (::statx(AT_FDCWD, mountpoint.c_str(), AT_STATX_DONT_SYNC, STATX_TYPE, &st) != 0) return 0;
  return ::makedev(st.stx_dev_major, st.stx_dev_minor);
}

}  // namespace

Snapshots::Snapshots(const Config& config) : config_(config) {}

Snapshots::~Snapshots() {
  Stop();
  // Their threads use the other members.
  in_trees_.reset();
  elsewhere_.reset();
}

void Snapshots::WatchTiers(const LayerSet& layers) {
  const auto watch = [&](std::unique_ptr<AccessGuard>& guard, LayerIndex layer, bool in_trees) -> Status {
    if (!layers[layer].aside) return Fail(EPERM, "a private mount of the tier, which needs CAP_SYS_ADMIN");
    if (!guard) {
      TIERFS_ASSIGN(guard, AccessGuard::Make(instant_, [this, in_trees](const AccessGuard::Access& access) {
                      auto next = AccessGuard::Next::kPass;
                      Tell([&](snapshot::Image& image) { next = image.OnAccess(access, in_trees); });
                      return next;
                    }));
    }
    return guard->Watch(layers[layer].aside.get());
  };
  for (LayerIndex layer = 0; layer < kTierCount; ++layer) {
    const bool in_trees = layer < kTrees;
    if (!in_trees && layers[layer].device != layers[0].device && layers[layer].device != layers[1].device) continue;
    const Status watched = watch(in_trees ? in_trees_ : elsewhere_, layer, in_trees);
    if (watched) continue;
    why_not_held_ = "writes to tier " + std::to_string(layer + 1) + " cannot be held: " + watched.error().step + ": " +
                    std::strerror(watched.error().code) + " (it takes Linux 6.14, root, and ext4, XFS or btrfs)";
    in_trees_.reset();
    elsewhere_.reset();
    return;
  }
}

void Snapshots::Start(const Host& host) {
  const std::string& path = config_.snapshot->path;
  // The kernel lists a mount without the symlinks on the way to it.
  std::error_code ignored;
  const std::filesystem::path given(path);
  const std::string place = (std::filesystem::weakly_canonical(given.parent_path(), ignored) / given.filename()).string();
  for (const MountEntry& mount : AllMounts()) {
    if (mount.mountpoint == place && mount.type == kViewType) (void)::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  }
  host_.emplace(host);
  watcher_ = std::thread([this] { WatchOver(); });
}

void Snapshots::Stop() {
  {
    const Lock lock(stop_mutex_);
    stop_ = true;
    stopping_.notify_all();
  }
  if (watcher_.joinable()) watcher_.join();
  const Lock turn(turn_);
  (void)End();
  host_.reset();
}

std::shared_ptr<snapshot::Image> Snapshots::Current() const {
  const Lock lock(mutex_);
  return image_;
}

template <typename Announcement>
void Snapshots::Tell(Announcement announcement) {
  const auto image = Current();
  if (!image) return;
  try {
    announcement(*image);
  } catch (const std::exception& problem) {
    image->Lose(problem.what());  // no memory
  }
}

void Snapshots::BeforeEntry(int dir, const char* name, Fate fate) {
  Tell([&](snapshot::Image& image) { image.BeforeEntry(dir, name, fate); });
}

void Snapshots::BeforeAttributes(int dir, const char* name) {
  Tell([&](snapshot::Image& image) { image.BeforeAttributes(dir, name); });
}

void Snapshots::BeforeContent(int file, off_t offset, off_t length) {
  // This may come during the instant. The write must not end before the writes past the daemon are
  // held: one of those may depend on it.
  const ReadLock instant(instant_);
  Tell([&](snapshot::Image& image) { image.BeforeContent(file, offset, length); });
}

void Snapshots::Made(int dir, const char* name) {
  Tell([&](snapshot::Image& image) { image.Made(dir, name); });
}

void Snapshots::OpenedForWriting(int file) {
  Tell([&](snapshot::Image& image) {
    for (AccessGuard* const guard : {in_trees_.get(), elsewhere_.get()}) {
      if (guard == nullptr) continue;
      if (const Status held = guard->PassNoLonger(file); !held) image.Lose(std::string("a writer cannot be held: ") + held.error().step);
    }
    image.OpenedForWriting(file);
  });
}

protocol::SnapshotState Snapshots::Prospects() const {
  protocol::SnapshotState state;
  state.configured = true;
  state.path = config_.snapshot->path;
  state.at_least = NameOf(config_.snapshot->at_least);
  // Without passthrough every write comes to the daemon.
  const bool held = in_trees_ != nullptr || !host_->mount.Facts().passthrough;
  state.level = NameOf(held ? SnapshotLevel::kBarrier : SnapshotLevel::kPerFile);
  if (!held) state.reason = why_not_held_;
  return state;
}

std::vector<protocol::MappedFile> Snapshots::Mapped() const {
  auto mapped = snapshot::WritableMappings(DeviceOf(host_->mountpoint),
                                           [this](std::uint64_t inode) { return host_->tree.LayerOfNode(NodeId{inode}) < kTrees; });
  return snapshot::WithoutNames(std::move(mapped), config_.snapshot->may_be_mapped);
}

protocol::SnapshotState Snapshots::Now() const {
  std::shared_ptr<snapshot::Image> image;
  protocol::SnapshotState state;
  {
    const Lock lock(mutex_);
    image = image_;
    state = state_;
  }
  if (!image) return Prospects();
  state.kept_bytes = image->CountBytes();
  state.changed_files = image->CountRecords();
  state.lost = image->WhyLost();
  return state;
}

std::string Snapshots::WhyNoSpace() const {
  std::vector<std::string> places{config_.tiers[0], config_.tiers[1]};
  if (!config_.snapshot->store.empty()) places.push_back(config_.snapshot->store);
  for (const std::string& place : places) {
    struct statvfs space {};
    if (::statvfs(place.c_str(), &space) != 0) continue;
    const std::uint64_t reserved = std::min(std::uint64_t{space.f_blocks} * space.f_frsize / kReservedShare, kMostReserved);
    if (std::uint64_t{space.f_bavail} * space.f_frsize < reserved) {
      return "the disk of " + place + " is nearly full: less than " + std::to_string(reserved >> 20) + " MiB are free";
    }
  }
  return "";
}

std::string Snapshots::WhyNoView() const {
  for (LayerIndex layer = 0; layer < kTrees; ++layer) {
    const int root = host_->tree.layers()[layer].root.get();
    const auto st = StatFd(root);
    const auto again = st ? OpenInode(root, st->st_ino) : tl::unexpected(st.error());
    if (again) continue;
    return "tier " + std::to_string(layer + 1) +
           " is on a file system without the file handles that a snapshot needs: " + again.error().step + ": " +
           std::strerror(again.error().code);
  }
  return "";
}

tl::expected<std::shared_ptr<snapshot::Image>, std::string> Snapshots::MakeImage(const struct stat& top) const {
  std::vector<snapshot::Image::Tree> trees;
  for (LayerIndex layer = 0; layer < kTrees; ++layer) {
    auto root = Duplicate(host_->tree.layers()[layer].root.get());
    if (!root) return Because(config_.tiers[layer], root.error());
    trees.push_back({"tier" + std::to_string(layer + 1), std::move(*root)});
  }
  std::vector<UniqueFd> others;
  for (LayerIndex layer = kTrees; layer < kTierCount; ++layer) {
    auto root = Duplicate(host_->tree.layers()[layer].root.get());
    if (!root) return Because(config_.tiers[layer], root.error());
    others.push_back(std::move(*root));
  }
  UniqueFd store;
  if (const std::string& place = config_.snapshot->store; !place.empty()) {
    auto opened = OpenDirectory(place, O_RDONLY);
    if (!opened) return Because("the store " + place, opened.error());
    store = std::move(*opened);
  }
  auto image = snapshot::Image::Make(std::move(trees), std::move(others), store.get(), config_.snapshot->store_limit, top);
  if (!image) return Because("a snapshot of these file systems", image.error());
  return std::shared_ptr<snapshot::Image>(std::move(*image));
}

Snapshots::Outcome Snapshots::TakeInstant(const std::shared_ptr<snapshot::Image>& image, protocol::SnapshotState& state) {
  Status held;
  const auto before = std::chrono::steady_clock::now();
  const bool quiet = host_->tree.AtAnInstant(config_.snapshot->barrier_limit, [&] {
    const Lock instant(instant_);
    {
      const Lock lock(mutex_);
      image_ = image;
    }
    ChangeObserver::Set(this);
    for (AccessGuard* const guard : {in_trees_.get(), elsewhere_.get()}) {
      if (guard == nullptr) continue;
      if (const Status holds = guard->Hold(); !holds) held = holds;
    }
    state.created = NanosecondsNow();
    host_->tree.ForEachWriter([&](int file) { image->NoteWriter(file); });
  });
  state.pause = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - before).count();
  if (!quiet) {
    return tl::unexpected("an operation of the mount has not ended within " + std::to_string(config_.snapshot->barrier_limit.count()) +
                          " ms (barrier_limit); is a disk stuck?");
  }
  if (!held) return Because("cannot hold writes", held.error());
  host_->tree.ForEachWriter([&](int file) { image->ForgetIfElsewhere(file); });
  return {};
}

Snapshots::Outcome Snapshots::Build(const protocol::CreateSnapshot& request, protocol::SnapshotState& state) {
  const std::string& path = config_.snapshot->path;
  if (const std::string full = WhyNoSpace(); !full.empty()) return tl::unexpected(full);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return Because("cannot make the directory " + path, {errno, "mkdir"});
  struct stat top {};
  if (::lstat(path.c_str(), &top) != 0) return Because(path, {errno, "lstat"});
  if (!S_ISDIR(top.st_mode)) return tl::unexpected(path + " is not a directory, which the place of a snapshot has to be");
  if (request.owner != 0) {
    owner_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, static_cast<pid_t>(request.owner), 0)));
    if (!owner_) return tl::unexpected("the process " + std::to_string(request.owner) + " is gone");
    state.owner = request.owner;
  }
  snapshot::Hooks hooks(config_.snapshot->hooks, {"TIERFS_SNAPSHOT=" + path, "TIERFS_NAME=" + config_.name});
  const AtEnd finish([&] {
    hooks.Finish();
    state.warnings = hooks.warnings();
    for (const std::string& warning : state.warnings) spdlog::warn("snapshot: {}", warning);
  });
  // Everything that the view shows and the token does not cover is listed once more after it.
  if (host_->catalog.feed() != nullptr) {
    const auto token = host_->catalog.Seal();
    if (!token) return Because("cannot record the changes until now", token.error());
    state.token = token->Render();
  }
  auto image = MakeImage(top);
  if (!image) return tl::unexpected(image.error());
  if (auto prepared = hooks.Prepare(); !prepared) return prepared;
  if (auto taken = TakeInstant(*image, state); !taken) return taken;
  Fault::Here("snapshot.taken");
  if (auto holding = hooks.StillHolding(); !holding) return holding;
  state.mapped = Mapped();
  auto view = ViewMount::Start(*image, path, config_.file);
  if (!view) return Because("cannot mount the snapshot at " + path, view.error());
  view_ = std::move(*view);
  state.standing = true;
  {
    const Lock lock(mutex_);
    state_ = state;
  }
  Fault::Here("snapshot.mounted");
  return {};
}

Answer<protocol::CreateSnapshot> Snapshots::Create(const protocol::CreateSnapshot& request) {
  const Lock turn(turn_);
  if (!host_) return tl::unexpected(std::string("the mount is ending"));
  if (Current() && owner_ && HasEnded(owner_.get())) (void)End();
  if (Current() && !request.dry_run) {
    const protocol::SnapshotState standing = Now();
    return tl::unexpected(
        "there is a snapshot already, at " + standing.path +
        (standing.owner != 0 ? ", in use by process " + std::to_string(standing.owner) : "; `tierctl snapshot delete` ends it"));
  }
  protocol::SnapshotState state = Prospects();
  const std::string no_view = WhyNoView();
  if (request.dry_run && no_view.empty()) {
    state.mapped = Mapped();
    return state;
  }
  if (!request.dry_run && state.level != state.at_least && config_.snapshot->at_least == SnapshotLevel::kBarrier) {
    return tl::unexpected("the level would be " + state.level + ", and the config asks for " + state.at_least + ": " + state.reason);
  }
  if (!no_view.empty()) return tl::unexpected(no_view);
  if (auto built = Build(request, state); !built) {
    (void)End();
    return tl::unexpected(built.error());
  }
  {
    const Lock lock(mutex_);
    state_.warnings = state.warnings;
  }
  spdlog::info("snapshot at {}, level {}, {} us", state.path, state.level, state.pause / 1000);
  return Now();
}

Answer<protocol::DeleteSnapshot> Snapshots::Delete() {
  const Lock turn(turn_);
  if (!host_ || !Current()) return tl::unexpected(std::string("there is no snapshot"));
  return End();
}

void Snapshots::LetGo() {
  ChangeObserver::Set(nullptr);
  for (AccessGuard* const guard : {in_trees_.get(), elsewhere_.get()}) {
    if (guard != nullptr) guard->Free();
  }
}

protocol::SnapshotState Snapshots::End() {
  const auto image = Current();
  owner_.Reset();
  if (!image) return {};
  protocol::SnapshotState state = Now();
  if (state.standing && state.lost.empty()) {
    for (std::string& path : image->ChangedUnannounced()) {
      if (!snapshot::MatchesName(path, config_.snapshot->may_be_mapped)) state.torn.push_back(std::move(path));
    }
    // Mappings made since the instant.
    for (const protocol::MappedFile& file : Mapped()) {
      const bool known =
          std::any_of(state.mapped.begin(), state.mapped.end(), [&](const protocol::MappedFile& each) { return each.path == file.path; });
      if (!known) state.mapped.push_back(file);
    }
  }
  view_.reset();
  LetGo();
  {
    const Lock lock(mutex_);
    image_.reset();
    state_ = {};
  }
  state.standing = false;
  spdlog::info("snapshot deleted; {} files had changed, {} bytes were kept", state.changed_files, state.kept_bytes);
  return state;
}

void Snapshots::WatchOver() {
  Lock lock(stop_mutex_);
  while (!stop_) {
    stopping_.wait_for(lock, kWatchStep);
    if (stop_) return;
    lock.unlock();
    LookAfter();
    lock.lock();
  }
}

void Snapshots::LookAfter() {
  const auto image = Current();
  if (!image) return;
  // While it is being made, its maker looks after it.
  if (const std::string full = WhyNoSpace(); !full.empty()) image->Lose(full);
  // The space is needed now, even if a hook still runs.
  const bool lost = !image->WhyLost().empty();
  if (lost) image->Clear();
  const Lock turn(turn_);
  if (Current() != image) return;
  if (owner_ && HasEnded(owner_.get())) {
    spdlog::warn("the process that made the snapshot has ended; the snapshot is deleted");
    (void)End();
  } else if (lost) {
    LetGo();
  }
}

}  // namespace tierfs
