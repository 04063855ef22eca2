#include "fs/jobs/clone/view.h"

#include <fcntl.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "fs/os/attributes.h"
#include "fs/os/beneath.h"
#include "fs/os/mount_table.h"
#include "fs/os/mounts.h"

namespace tierfs::clone {
namespace {

tl::unexpected<std::string> Problem(const std::string& what, int error = errno) {
  return tl::unexpected(what + ": " + std::strerror(error));
}

UniqueFd OpenPlace(const std::string& path) { return UniqueFd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

bool IsAtOrBeneath(const std::string& path, const std::string& directory) {
  return path == directory || directory == "/" || path.rfind(directory + "/", 0) == 0;
}

unsigned long FlagsIn(const std::string& options) {
  constexpr std::pair<const char*, unsigned long> kFlags[] = {{"nosuid", MS_NOSUID}, {"nodev", MS_NODEV}, {"noexec", MS_NOEXEC}};
  unsigned long flags = 0;
  for (const auto& [name, flag] : kFlags) {
    if (("," + options + ",").find("," + std::string(name) + ",") != std::string::npos) flags |= flag;
  }
  return flags;
}

// Services of the machine: what they are asked for, they do to the live mount.
constexpr const char* kServices[] = {"/run/systemd/private", "/run/dbus/system_bus_socket", "/run/docker.sock", "/run/containerd",
                                     "/run/podman"};

// A network namespace starts with its loopback device down.
void StartLoopback() {
  const UniqueFd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(any.get(), SIOCGIFFLAGS, &request) != 0) return;
  request.ifr_flags |= IFF_UP;
  (void)::ioctl(any.get(), SIOCSIFFLAGS, &request);
}

}  // namespace

Outcome<void> View::Make() {
  // As a slave, this namespace learns what is unmounted outside, and nothing gets out of it. A disk
  // that is unmounted meanwhile stays busy only where mounts are not shared (a machine without
  // systemd).
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return Problem("a private mount namespace");
  if (!request_.network) StartLoopback();
  TIERFS_TRY(OpenDirectories());
  DropMounts();
  if (request_.layers.over) {
    over_ = OpenPlace(place_);
    if (!over_) return Problem("the directory beneath the mount at " + place_);
    lower_.push_back(over_.get());
  }
  TIERFS_TRY(MakeSpace());
  if (::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) return Problem("/proc of the clone");
  TIERFS_TRY(FillLayers());
  TIERFS_TRY(CoverDirectories());
  TIERFS_TRY(CoverSockets());
  TIERFS_TRY(MountOverlay());
  if (::chdir(place_.c_str()) != 0) return Problem(place_);
  return {};
}

Outcome<int> View::Protect(const std::string& path, const std::string& what) {
  Protected each{path, OpenPlace(path), {}};
  if (!each.place) return Problem(what + " at " + path);
  auto copy = CloneReadOnly(each.place.get());
  if (!copy) return Problem("a read-only copy of " + path, copy.error().code);
  each.copy = std::move(*copy);
  protected_.push_back(std::move(each));
  return protected_.back().copy.get();
}

// Layers that the clone does not show are protected too: a command knows their paths.
Outcome<void> View::OpenDirectories() {
  for (std::size_t i = 0; i < kTierCount; ++i) {
    const std::string what = "tier " + std::to_string(i + 1);
    const std::string& wanted = request_.layers.tiers[i].directory();
    TIERFS_ASSIGN(const int live, Protect(config_.tiers[i], what));
    if (wanted == config_.tiers[i]) tiers_[i] = live;
    if (wanted.empty() || wanted == config_.tiers[i]) continue;
    TIERFS_ASSIGN(tiers_[i], Protect(wanted, what));
  }
  for (const std::string& each : request_.layers.lower) {
    TIERFS_ASSIGN(const int layer, Protect(each, "the lower layer"));
    lower_.push_back(layer);
  }
  const auto& shown = request_.layers.lower;
  for (const std::string& each : config_.lower) {
    if (std::find(shown.begin(), shown.end(), each) == shown.end()) TIERFS_TRY(Protect(each, "the lower layer"));
  }
  if (config_.version && ::access(config_.version->repo.c_str(), F_OK) == 0) TIERFS_TRY(Protect(config_.version->repo, "the history"));
  return {};
}

// A FUSE mount that is kept here would keep its daemon alive after an unmount outside.
// Another /proc leads out, through the roots of the machine's processes; what is at /proc itself is
// covered.
void View::DropMounts() {
  const auto is_needed = [&](const MountEntry& mount) {
    const bool holds_place = mount.mountpoint != place_ && IsAtOrBeneath(place_, mount.mountpoint);
    return holds_place || std::any_of(protected_.begin(), protected_.end(), [&](const Protected& each) {
             std::error_code ignored;
             return IsAtOrBeneath(std::filesystem::weakly_canonical(each.path, ignored).string(), mount.mountpoint);
           });
  };
  // A mount may be covered by another one, which is then unmounted first.
  constexpr int kRounds = 4;
  for (int round = 0; round < kRounds; ++round) {
    const auto mounts = AllMounts();
    for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
      const bool leads_out = mount->type == "proc" && !IsAtOrBeneath(mount->mountpoint, "/proc");
      if ((!mount->IsFuse() && !leads_out) || is_needed(*mount)) continue;
      if (mount->mountpoint == place_) flags_ = FlagsIn(mount->options);
      (void)::umount2(mount->mountpoint.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    }
  }
}

// The file system for what is written stands beneath the overlayfs, at the same place: no other
// directory is needed, and the directory beneath the mount is out of reach.
Outcome<void> View::MakeSpace() {
  const std::string options = "mode=0700,size=" + (request_.space > 0 ? std::to_string(request_.space) : "50%");
  const int mounted = space_directory_.empty() ? ::mount("tierfs-clone", place_.c_str(), "tmpfs", 0, options.c_str())
                                               : ::mount(space_directory_.c_str(), place_.c_str(), nullptr, MS_BIND, nullptr);
  if (mounted != 0) return Problem("a place for what is written, at " + place_);
  space_.Reset(::open(place_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return space_ ? Outcome<void>() : Problem(place_);
}

Outcome<UniqueFd> View::MakeDirectory(const std::string& name) const {
  if (::mkdirat(space_.get(), name.c_str(), 0700) != 0) return Problem("mkdir of " + name);
  UniqueFd directory(::openat(space_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Problem(name);
  return directory;
}

Outcome<void> View::FillLayers() {
  for (std::size_t i = 0; i < kTierCount; ++i) {
    const auto& fill = request_.layers.tiers[i].fill();
    if (!fill) continue;
    TIERFS_ASSIGN(made_[i], MakeDirectory("tier" + std::to_string(i + 1)));
    tiers_[i] = made_[i].get();
    TIERFS_TRY(fill(tiers_[i]));
  }
  return {};
}

Outcome<void> View::CoverDirectories() {
  for (const Protected& each : protected_) {
    if (const auto covered = MountOver(each.copy.get(), each.place.get()); !covered) {
      return Problem("a read-only mount over " + each.path, covered.error().code);
    }
    struct statvfs st {};
    if (::statvfs(each.path.c_str(), &st) != 0) return Problem(each.path);
    if ((st.f_flag & ST_RDONLY) == 0) return tl::unexpected(each.path + " could not be made read-only");
  }
  return {};
}

Outcome<void> View::CoverSockets() {
  TIERFS_TRY(MakeDirectory("nothing"));
  if (::mknodat(space_.get(), "no-socket", S_IFREG, 0) != 0) return Problem("a cover for sockets");
  std::vector<std::string> places{config_.state};  // the daemon's
  if (!request_.network) places.insert(places.end(), std::begin(kServices), std::end(kServices));
  for (const std::string& each : places) {
    struct stat st {};
    if (::stat(each.c_str(), &st) != 0) continue;
    const std::string cover = ProcPath(space_.get(), S_ISDIR(st.st_mode) ? "nothing" : "no-socket");
    if (::mount(cover.c_str(), each.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        ::mount(nullptr, each.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return Problem("a cover over " + each);
    }
  }
  return {};
}

// The root of an overlayfs has the attributes of its upper directory.
Outcome<void> View::GiveRootItsAttributes(int layer) const {
  const UniqueFd upper(::openat(space_.get(), "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto st = StatFd(layer);
  if (!st) return Problem("the attributes of the root", st.error().code);
  if (const auto done = CloneAttributes(layer, *st, upper.get()); !done) return Problem("the attributes of the root", done.error().code);
  return {};
}

Outcome<void> View::MountOverlay() {
  TIERFS_TRY(MakeDirectory("upper"));
  TIERFS_TRY(MakeDirectory("work"));
  std::vector<int> layers;
  std::copy_if(tiers_.begin(), tiers_.end(), std::back_inserter(layers), [](int tier) { return tier >= 0; });
  layers.insert(layers.end(), lower_.begin(), lower_.end());
  UniqueFd empty;
  if (layers.empty()) {
    TIERFS_ASSIGN(empty, MakeDirectory("empty"));
    layers.push_back(empty.get());
  }
  TIERFS_TRY(GiveRootItsAttributes(layers.front()));
  // Paths through /proc: a layer's own path may hold ':', ',' and '\', and 64 paths may be longer
  // than the page that mount(2) takes.
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < layers.size(); ++i) options += (i == 0 ? "" : ":") + ProcPath(layers[i]);
  options += ",upperdir=" + ProcPath(space_.get(), "upper") + ",workdir=" + ProcPath(space_.get(), "work");
  // redirect_dir: directories of the layers can be renamed. index: names of one file stay one file.
  // volatile: what is thrown away need not be synced.
  options += ",redirect_dir=on,index=on,metacopy=off,volatile";
  if (::mount("tierfs-clone", place_.c_str(), "overlay", flags_, options.c_str()) != 0) {
    const std::string hint = errno == EINVAL ? " (a layer that is itself on two overlayfs or FUSE file systems cannot be in a clone)" : "";
    return Problem("an overlayfs at " + place_ + hint);
  }
  return {};
}

}  // namespace tierfs::clone
